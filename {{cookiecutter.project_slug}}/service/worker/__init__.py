"""Celery: the application, the tasks' base classes, and the processes that run them."""

from service.worker.app import app
from service.worker.task import FastTask, SlowTask

__all__ = ["FastTask", "SlowTask", "app"]
