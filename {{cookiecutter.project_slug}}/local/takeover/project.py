"""The project that is looked at: its source, its settings, its tasks, and where they are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from local.takeover.call import Call, calls
from local.takeover.settings import Given, settings
from local.takeover.source import Source
from local.takeover.task import Task, tasks


@dataclass(frozen=True)
class Project:
    """All that the rules look at."""

    source: Source

    @cached_property
    def settings(self) -> Mapping[str, list[Given]]:
        """What is configured for all tasks."""
        return settings(self.source)

    @cached_property
    def tasks(self) -> list[Task]:
        """Its tasks."""
        return tasks(self.source, self.settings)

    @cached_property
    def calls(self) -> list[Call]:
        """Where they are called, or made ready to be."""
        return calls(self.source, self.tasks)
