"""Shapes of work beyond the single job: each is one module, which may be deleted as the README says."""
