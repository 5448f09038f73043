"""What a version can do, as the catalogue wants it."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, create_model

from service.jobs.catalogue import Entry
from service.worker.task import DurableTask


def entries(tasks: Mapping[str, DurableTask]) -> Iterator[Entry]:
    """One entry for each task, with the schema of its arguments and its limits."""
    for name, task in tasks.items():
        yield Entry(
            name=name,
            queue=task.kind,
            schema=schema(task),
            soft_limit=task.soft_time_limit,
            hard_limit=task.time_limit,
            max_retries=task.max_retries,
        )


def schema(task: DurableTask) -> dict[str, Any]:
    """The JSON Schema of a task's arguments, from its signature and its annotations."""
    function = task.function
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    open_ended = False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    model = create_model(task.name, __config__=ConfigDict(extra="allow" if open_ended else "forbid"), **fields)
    made: dict[str, Any] = model.model_json_schema()
    return made
