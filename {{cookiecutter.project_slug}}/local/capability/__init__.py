"""What belongs to a capability: its task, its handler, its test, and its parts of the specification."""
