"""The job store: jobs are rows, and everything about them is a statement about rows."""

from service.jobs.model import Job, State
from service.jobs.submit import submit

__all__ = ["Job", "State", "submit"]
