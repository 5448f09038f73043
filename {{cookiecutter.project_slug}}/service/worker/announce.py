"""What a version can do, as the catalogue wants it."""

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from service.jobs.model import Task
from service.worker.app import load_tasks


def entries() -> Iterator[Task]:
    """One entry for each task, with the schema of its arguments, from its signature and annotations, and its limits."""
    task: Any
    for name, task in load_tasks().items():
        schema = TypeAdapter[Any](task.function).json_schema()
        limits = {"soft_limit": task.soft_time_limit, "hard_limit": task.time_limit, "max_retries": task.max_retries}
        yield Task(name=name, queue=task.kind, schema=schema, **limits)
