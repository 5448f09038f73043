"""Ways in which a Celery service goes stale, leaks, and is unsafe, and that this one is not."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
import redis
from celery import Celery

from service.errors import InvalidArguments
from service.jobs import Job, submit
from service.jobs.doorbell import broker_queue
from tests.support.stack import ROOT, Stack, until


@pytest.mark.fault("U1", "stale data, pickle")
@pytest.mark.parametrize("value", [Job(), datetime.now(UTC), "x" * 1_000_000, float("nan"), 7, None])
def test_arguments_that_are_no_small_json_or_do_not_fit_are_refused_at_submit(stack: Stack, value: object) -> None:
    with pytest.raises(InvalidArguments):
        submit("trials.echo", {"value": value})
    assert stack.jobs("trials.echo") == []


@pytest.mark.fault("U2", "remote code execution")
def test_a_pickle_in_the_queue_is_not_opened(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    trap = stack.directory / "opened"
    with Celery(broker=stack.broker.url, set_as_current=False).connection_for_write() as connection:
        connection.Producer(serializer="pickle").publish(
            Trap(str(trap)), routing_key=broker_queue("fast").name, headers={"task": "trials.echo", "id": "1"}
        )
    until(stack.refused_messages)
    assert not trap.exists()
    assert worker.process.poll() is None


class Trap:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


@pytest.mark.fault("U3", "results stay in Redis for a day, or for ever")
def test_done_jobs_leave_nothing_in_the_broker(stack: Stack) -> None:
    stack.start("worker", "fast")
    stack.ended(*(stack.submit("trials.echo", value=str(number)).id for number in range(50)))
    with redis.Redis(port=stack.broker.port) as client:
        # The queues themselves; what was acknowledged is told within a second.
        until(lambda: all(key.startswith(b"_kombu.binding") for key in client.scan_iter()))


@pytest.mark.fault("U6", "slow start, import errors")
def test_the_api_imports_no_task_and_no_worker() -> None:
    code = (
        "import sys; import service.api.app, service.jobs; "
        "print([name for name in sys.modules if name.startswith(('service.tasks', 'service.worker'))])"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"
