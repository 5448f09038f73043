"""`make demo`: a service is rendered, given real work and hurt, and every job is accounted for."""
