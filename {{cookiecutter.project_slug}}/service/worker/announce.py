"""What a version can do, as the catalogue wants it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from service.jobs.model import Task
from service.worker.task import DurableTask


def entries(tasks: Mapping[str, DurableTask]) -> Iterator[Task]:
    """One entry for each task, with the schema of its arguments and its limits."""
    for name, task in tasks.items():
        yield Task(
            name=name,
            queue=task.kind,
            schema=schema(task),
            soft_limit=task.soft_time_limit,
            hard_limit=task.time_limit,
            max_retries=task.max_retries,
        )


def schema(task: DurableTask) -> dict[str, Any]:
    """The JSON Schema of a task's arguments, from its signature and its annotations."""
    function: Any = task.function
    return TypeAdapter[Any](function).json_schema()
