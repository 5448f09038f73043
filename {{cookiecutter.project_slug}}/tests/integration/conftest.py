"""What tests of the broker begin with, and who is told of errors, for tests of what they are told."""

from collections.abc import Iterator

import pytest
from kombu import Connection

from service.config import settings
from service.jobs.doorbell import broker_queue
from service.queues import QUEUES
from tests.support.sentry import Sentry
from tests.support.stack import Stack


@pytest.fixture
def sentry(stack: Stack) -> Iterator[Sentry]:
    """A Sentry that every process of the stack reports to."""
    with Sentry() as made:
        stack.environment |= {"SENTRY_DSN": made.dsn, "PYTHONWARNINGS": "default"}
        yield made


@pytest.fixture
def quiet(stack: Stack) -> Stack:
    """Stores in which no message is left of another test, whichever the broker."""
    with Connection(settings().broker_url.get_secret_value()) as connection:
        for name in QUEUES:
            queue = broker_queue(name)(connection.default_channel)
            queue.declare()
            queue.purge()
    return stack
