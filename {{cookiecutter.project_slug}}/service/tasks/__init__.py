"""What this service does: one module for each capability. A module dropped in here is found by the workers."""
