"""Who is told of errors, for tests of what they are told."""

from collections.abc import Iterator

import pytest

from tests.support.sentry import Sentry
from tests.support.stack import Stack


@pytest.fixture
def sentry(stack: Stack) -> Iterator[Sentry]:
    """A Sentry that every process of the stack reports to."""
    with Sentry() as made:
        stack.environment |= {"SENTRY_DSN": made.dsn, "PYTHONWARNINGS": "default"}
        yield made
