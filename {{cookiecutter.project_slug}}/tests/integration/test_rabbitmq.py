"""What RabbitMQ is asked for, held against a real one: queues that several brokers keep, publishes that are told."""

import os
import time
from collections.abc import Iterator

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection, Queue

from service.jobs.doorbell import BROKER_TIMEOUT, QUORUM, Bell, broker_queue
from tests.support.stack import Stack, until

pytestmark = pytest.mark.skipif(
    not os.environ.get("TEST_BROKER_URL", "").startswith("amqp"), reason="these are queues of RabbitMQ"
)
JOB = ("00000000-0000-7000-8000-000000000000", "trials.echo", "fast")


@pytest.fixture
def bell(stack: Stack) -> Iterator[Bell]:
    """A bell that has rung once, so that its connection is there and its queues are."""
    made = Bell()
    made.publish(*JOB)
    stack.broker.wipe()
    yield made
    made.close()


@pytest.mark.usefixtures("bell")
@pytest.mark.parametrize("delay", [0, 1])
def test_its_queues_are_quorum_queues(stack: Stack, delay: float) -> None:
    queue = broker_queue("fast", delay)
    with Connection(stack.environment["BROKER_URL"]) as connection:
        queue(connection.default_channel).queue_declare()
        with pytest.raises(PreconditionFailed, match="inequivalent arg"):
            Queue(queue.name, exchange="", durable=True)(connection.default_channel).queue_declare()


def test_a_delayed_doorbell_waits_there_and_not_in_a_worker(stack: Stack, bell: Bell) -> None:
    rung = time.monotonic()
    # In queues that nobody else reads or fills.
    bell.publish(*JOB[:2], "apart", 2.0)
    with Connection(stack.environment["BROKER_URL"]) as connection:
        ready = broker_queue("apart")(connection.default_channel)
        ready.declare()
        assert ready.get(no_ack=True) is None
        message = until(lambda: ready.get(no_ack=True))
    assert message.headers["id"] == JOB[0]
    assert time.monotonic() - rung > 1.5


@pytest.mark.usefixtures("bell")
def test_a_connection_that_falls_silent_is_given_up(stack: Stack) -> None:
    bell = Bell()
    bell.depth("fast")
    stack.broker.freeze()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        bell.depth("fast")
    assert time.monotonic() - began < 10 * BROKER_TIMEOUT


def test_a_doorbell_that_is_not_confirmed_has_not_rung(stack: Stack, bell: Bell) -> None:
    stack.broker.freeze()
    began = time.monotonic()
    with pytest.raises(Exception, match="time"):
        bell.publish(*JOB)
    assert time.monotonic() - began < 8
    stack.broker.thaw()
    assert bell.publish(*JOB)


def test_a_message_that_comes_back_again_and_again_goes(stack: Stack, bell: Bell) -> None:
    bell.publish(*JOB)
    until(lambda: bell.depth("fast") == 1)
    deliveries = 0
    with Connection(stack.environment["BROKER_URL"]) as connection:
        channel = connection.default_channel
        while (message := channel.basic_get(broker_queue("fast").name)) is not None:
            deliveries += 1
            channel.basic_reject(message.delivery_tag, requeue=True)
    assert deliveries in range(QUORUM["x-delivery-limit"], QUORUM["x-delivery-limit"] + 3)
