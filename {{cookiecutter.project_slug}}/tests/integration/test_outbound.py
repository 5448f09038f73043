"""A third party in trouble, on real workers: who waits for it, and who does not."""

import threading
from itertools import pairwise

import pytest

from service.jobs import Job, State, submit
from service.queues import HOST_FAILURES, HOST_SPARED_SECONDS
from tests.support.receiver import Receiver
from tests.support.stack import Stack, until
from tests.support.wire import server

pytestmark = pytest.mark.slow


def waits(row: Job) -> bool:
    """Whether the job waits for its third party to recover."""
    return (row.waiting_for or "").endswith(" to recover")


@pytest.fixture
def worker(stack: Stack) -> Stack:
    """A worker that may call this machine."""
    stack.environment |= {"OUTBOUND_ALLOW": "127.0.0.0/8"}
    stack.start("worker", "fast")
    return stack


def test_a_third_party_that_hangs_holds_the_workers_for_one_wave_of_calls_alone(worker: Stack) -> None:
    hung = threading.Event()
    with Receiver("127.0.0.2", lambda _: (hung.wait(60), (204, {}))[1]) as hanging, Receiver() as well:
        many = [worker.submit("trials.posts", url=hanging.url) for _ in range(60)]
        until(lambda: hanging.sent)
        quick = [worker.submit("trials.posts", url=well.url) for _ in range(20)]
        worker.ended(*(row.id for row in quick), seconds=60)
        until(lambda: len([row for row in worker.jobs("trials.posts") if waits(row)]) >= 50)
        # Spared by now, it is asked by nobody, and none of the jobs has used up an attempt of its budget for that.
        until(lambda: sum(row.failures for row in worker.jobs("trials.posts")) == len(hanging.sent))
        assert len(hanging.sent) <= HOST_FAILURES + hanging.together
        assert len(well.sent) == 20
        hung.set()
        # Once it answers, all that waited follow each other without waiting for their time.
        worker.ended(*(row.id for row in many), seconds=HOST_SPARED_SECONDS + 40)
        assert {row.state for row in worker.ended(*(row.id for row in many))} == {State.SUCCEEDED}


def test_a_host_in_trouble_is_asked_by_one_at_a_time_until_it_answers(worker: Stack) -> None:
    with Receiver(answer=lambda _: (503, {})) as receiver:
        first = worker.submit("trials.posts", url=receiver.url)
        until(lambda: worker.job(first.id).failures == 1)
        together, receiver.together = receiver.together, 0
        rows = [worker.submit("trials.posts", url=receiver.url) for _ in range(20)]
        until(lambda: len(receiver.sent) == HOST_FAILURES, seconds=30)
        assert (together, receiver.together) == (1, 1)
        receiver.answer = lambda _: (204, {})
        worker.ended(first.id, *(row.id for row in rows), seconds=HOST_SPARED_SECONDS + 40)
        assert len(receiver.sent) == HOST_FAILURES + len(rows) + 1
        spared = max(after.at - before.at for before, after in pairwise(receiver.sent))
        assert spared >= HOST_SPARED_SECONDS - 1


def test_whoever_calls_what_is_down_holds_up_nobody_elses_calls_to_that_host(worker: Stack) -> None:
    with Receiver() as well:
        down = [submit("trials.posts", {"url": "http://127.0.0.1:1/"}, client="alice") for _ in range(10)]
        until(lambda: sum(row.failures for row in worker.jobs("trials.posts")) >= HOST_FAILURES, seconds=30)
        until(lambda: any(waits(worker.job(row.id)) for row in down))
        mine = [submit("trials.posts", {"url": well.url}, client=client) for client in ("alice", "bob")]
        assert {row.state for row in worker.ended(*(row.id for row in mine))} == {State.SUCCEEDED}


def test_one_host_has_one_name_however_it_is_spelt(worker: Stack) -> None:
    with Receiver("127.0.0.2", lambda _: (503, {})) as receiver:
        port = receiver.url.rpartition(":")[2]
        first = worker.submit("trials.posts", url=receiver.url)
        until(lambda: worker.job(first.id).failures == 1)
        spellings = ("0x7f.0.0.2", "2130706434", "127.0.2", "0x00000000007f.0.0.2", "127.0.0.2.")
        for spelling in spellings:
            worker.submit("trials.posts", url=f"http://{spelling}:{port}")
        until(lambda: len(receiver.sent) == HOST_FAILURES, seconds=30)
        until(lambda: len([row for row in worker.jobs("trials.posts") if waits(row)]) >= len(spellings) - 1)
        assert receiver.together == 1


def test_what_a_third_party_says_instead_of_http_does_not_fill_the_store(stack: Stack) -> None:
    stack.environment |= {"OUTBOUND_ALLOW": "127.0.0.0/8", "QUEUE_FAST_MAX_RETRIES": "0"}
    stack.start("worker", "fast")
    with server(lambda connection: connection.sendall(b"HTTP/1.1 " + b"\x01" * 60_000 + b"\r\n\r\n")) as (port, _):
        (failed,) = stack.ended(stack.submit("trials.posts", url=f"http://127.0.0.2:{port}/").id)
    assert failed.error_type == "UpstreamError"
    assert 0 < len(failed.error_message or "") <= 2000


def test_a_call_costs_a_host_that_is_well_nothing(worker: Stack) -> None:
    gate = threading.Barrier(2)
    with Receiver(answer=lambda _: (gate.wait(30), (204, {}))[1]) as receiver:
        rows = [worker.submit("trials.posts", url=receiver.url) for _ in range(4)]
        worker.ended(*(row.id for row in rows))
        # Two were there together, or the first had waited for ever.
        assert receiver.together == 2
        assert [row.attempt for row in worker.ended(*(row.id for row in rows))] == [1, 1, 1, 1]
