"""What the greenlets of one process share: its loop, its names, its connections; no third party may hold them all."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from service import database
from service.errors import Postpone, UpstreamError
from service.jobs import State, operate
from service.jobs.model import Event, Task
from service.jobs.submit import INTERNAL
from service.observe import context
from service.outbound import client, hosts
from tests.faults.test_pools import JOBS, begun, unharmed, worker
from tests.support.receiver import Receiver
from tests.support.stack import Stack, free_port, until
from tests.support.wire import server

POSTGRESQL = pytest.mark.skipif("TEST_DATABASE_URL" not in os.environ, reason="rows are locked on PostgreSQL alone")


@pytest.mark.fault("S14", "a third party chooses how long it computes")
def test_greenlets_offer_no_keys_that_are_dear_to_compute(stack: Stack) -> None:
    """Those of 8,192 bits take a tenth of a second, in which no other greenlet has its turn."""
    with server(lambda _: None) as (port, hellos):
        worker(stack, OUTBOUND_ALLOW="127.0.0.2")
        stack.submit("waits.ask", url=f"https://127.0.0.2:{port}/")
        until(lambda: hellos, seconds=60)
    # X25519, P-256, P-384 and P-521 alone, as their numbers stand in TLS.
    assert bytes.fromhex("0008001d001700180019") in hellos[0]


@pytest.mark.fault("S14", "a name that hangs holds one of ten threads, and fifteen of them hold up every call")
def test_names_that_hang_hold_up_nobody(stack: Stack) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as mute, Receiver() as well:
        mute.bind(("127.0.0.1", 0))
        asks = {"GEVENTARES_SERVERS": "127.0.0.1", "GEVENTARES_UDP_PORT": f"{mute.getsockname()[1]}"}
        worker(stack, **asks, QUEUE_SLOW_MAX_RETRIES="0")
        hanging = [stack.submit("waits.ask", url=f"http://name-{number}.example.com/") for number in range(40)]
        mute.settimeout(20)
        assert b"example" in mute.recv(1000)
        until(lambda: all(stack.job(row.id).state is not State.QUEUED for row in hanging))
        rows = [stack.submit("waits.ask", url=well.url) for _ in range(10)]
        for row in stack.ended(*(row.id for row in rows), seconds=10):
            unharmed(row)


@pytest.mark.alone
@pytest.mark.fault("S14", "calls to a host that is down wait for one row, and hold all connections to the database")
def test_a_host_that_is_down_holds_up_nobody(stack: Stack) -> None:
    with Receiver() as well:
        worker(stack, QUEUE_SLOW_SOFT_LIMIT="5")
        nobody = f"http://127.0.0.1:{free_port()}/"
        for _ in range(JOBS):
            stack.submit("waits.tell", url=nobody)
        rows = [stack.submit("waits.ask", url=well.url) for _ in range(20)]
        for row in stack.ended(*(row.id for row in rows), seconds=90):
            unharmed(row)


@pytest.mark.fault("S3", "the limit ends a task that has returned, while what it gave waits to be kept")
@pytest.mark.parametrize("stop", [False, True])
def test_a_limit_that_comes_after_the_task_has_returned_makes_no_dead_letter(
    stack: Stack, tmp_path: Path, stop: bool
) -> None:
    """Nor does it let a job that is to stop begin again."""
    worker(stack)
    full, over = tmp_path / "full", tmp_path / "over"
    row = stack.submit("waits.brief", until=f"{full}")
    begun(stack, row)
    holders = [stack.submit("waits.hold", until=f"{over}") for _ in range(20)]
    # All the connections that there are.
    until(lambda: sum(bool(stack.attempts(holder.id)) for holder in holders) == 15)
    if stop:
        operate.cancel(row.id, by="test", client=None)
    began = float(stack.attempts(row.id)[0]["at"])
    full.touch()
    # The limit comes, or what tells it to stop, while it waits for one of them.
    until(lambda: time.time() > began + 17, seconds=30)
    over.touch()
    (done, *_) = stack.ended(row.id, *(holder.id for holder in holders), seconds=60)
    if stop:
        assert (done.state, done.attempt, len(stack.attempts(row.id))) == (State.CANCELLED, 1, 1)
    else:
        assert (done.state, done.result, done.attempt) == (State.SUCCEEDED, "returned", 2)


@pytest.mark.usefixtures("stack")
@pytest.mark.fault(
    "S14", "whoever's own call failed stands in a line behind hundreds of others, and runs over its limit"
)
def test_the_books_of_hosts_hold_nobody_for_long() -> None:
    nobody = f"http://127.0.0.1:{free_port()}/"

    def sent_back(_: int) -> float:
        with pytest.raises(Postpone, match="the books of hosts") as sent, hosts.turn(nobody, "k", 1, alone=True):
            pass
        return float(sent.value.seconds)

    with database._turns[f"hosts of {INTERNAL}"], ThreadPoolExecutor(10) as threads:
        with pytest.raises(UpstreamError):
            client.post_json(nobody, {}, idempotency_key="k")
        waits = sorted(threads.map(sent_back, range(10)))
        # Another client has a place of its own.
        context.bind(client="another")
        with hosts.turn(nobody, "k", 1, alone=True):
            pass
        context.clear()
    assert waits[0] < waits[-1] - 9 * database.APART / 2
    with hosts.turn(nobody, "k", 1, alone=True):
        pass


@POSTGRESQL
@pytest.mark.fault("S14", "jobs that wait for one row hold all connections to the database")
def test_jobs_that_wait_for_one_row_hold_up_nobody(stack: Stack) -> None:
    worker(stack)
    with database.transaction() as session, Receiver() as well:
        session.execute(select(Task.name).where(Task.name == "rounds.haul").with_for_update())
        held = [stack.submit("rounds.haul", seconds=0) for _ in range(60)]
        begun_of = select(func.count()).where(Event.event == "started")
        until(lambda: (session.scalar(begun_of) or 0) >= len(held))
        for row in stack.ended(*(stack.submit("waits.ask", url=well.url).id for _ in range(20)), seconds=8):
            unharmed(row)
