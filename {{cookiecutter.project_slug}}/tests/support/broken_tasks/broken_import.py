"""A module of tasks that does not import."""

from service.worker import there_is_no_such_thing  # type: ignore[attr-defined]  # noqa: F401
