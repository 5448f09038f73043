"""What is wrong with the Celery tasks of another service, read from its source; nothing of it is imported or run."""
