"""A service with every role, and what was ordered of it over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from service.webhooks import secrets
from tests.support.callers import Api
from tests.support.door import PATH
from tests.support.stack import Stack, until


class Desk:
    """A service with every role, and what was ordered of it."""

    def __init__(self, stack: Stack, *roles: str, **environment: str) -> None:
        self.stack = stack
        stack.environment |= {"WEBHOOK_SECRETS": secrets.mint("shop")[1], **environment}
        self.api = Api(stack)
        self.roles = [stack.start(*role.split(), ready=False) for role in roles]
        for role in self.roles:
            if role.words[0] == "worker":
                until(partial(role.said, "worker ready"), seconds=60)

    def order(self, task: str, **arguments: Any) -> str:
        """Order a job over HTTP; gives its id once it has ended."""
        with self.api.client() as client:
            job_id: str = client.post(PATH, json={"task": task, "arguments": arguments}).json()["id"]
        self.stack.ended(job_id, seconds=60)
        return job_id


@contextmanager
def fresh(directory: Path) -> Iterator[Stack]:
    """A stack on SQLite, for the tests of one class."""
    made = Stack(directory)
    try:
        made.prepare()
        yield made
    finally:
        made.end()
