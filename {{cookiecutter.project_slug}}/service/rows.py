"""Rows that the store gives as one value: to take one of many columns apart costs more than to find it."""

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Enum

from service.database import Base, Timestamp

Row = TypeVar("Row", bound=Base)


def loaded(kind: type[Row], values: Mapping[Any, Any]) -> Row:
    """What the mapper would make of a row that no session has; what is text in JSON alone is read."""
    made: Row = kind.__mapper__.class_manager.new_instance()
    made.__dict__.update(values)
    for name, read in _texts(kind).items():
        if isinstance(text := values[name], str):
            made.__dict__[name] = read(text)
    return made


@functools.cache
def _texts(kind: type[Base]) -> Mapping[str, Callable[[str], Any]]:
    columns = kind.__table__.columns
    times = {each.name: datetime.fromisoformat for each in columns if isinstance(each.type, Timestamp)}
    return times | {each.name: each.type.python_type for each in columns if isinstance(each.type, Enum)}
