"""A queue whose jobs wait: hundreds of them in one process, which loses none of what a process for each would keep."""

import time

import pytest

from service.jobs import State
from tests.support.receiver import Receiver
from tests.support.stack import Role, Stack

JOBS = 500


def worker(stack: Stack, **environment: str) -> Role:
    """A worker of greenlets, for as many jobs at once."""
    places = {"QUEUE_SLOW_POOL": "gevent", "QUEUE_SLOW_CONCURRENCY": f"{JOBS}"}
    return stack.start("worker", "slow", **places | environment)


def takes_a_second(_: object) -> tuple[int, dict[str, str]]:
    """Be a third party that is slow."""
    time.sleep(1)
    return 204, {}


@pytest.mark.alone
@pytest.mark.fault("S14", "one process for each job that waits")
def test_500_jobs_wait_on_a_third_party_in_one_process(stack: Stack) -> None:
    with Receiver(answer=takes_a_second) as party:
        party.listen(JOBS)
        jobs = [stack.submit("waits.ask", url=party.url).id for _ in range(JOBS)]
        begun = time.monotonic()
        worker(stack)
        done = stack.ended(*jobs, seconds=60)
        seconds = time.monotonic() - begun
    assert {job.state for job in done} == {State.SUCCEEDED}
    print("SECONDS", seconds, "together", party.together, "attempts", {job.attempt for job in done},
          (max(j.ended_at for j in done) - min(j.started_at for j in done)))
    assert seconds < 10
