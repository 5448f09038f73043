"""The tables of what this service does: one module for each capability."""
