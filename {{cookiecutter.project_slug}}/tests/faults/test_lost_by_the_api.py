"""What happens to work at the front door: the API is killed and stopped, its stores go away, and nothing is lost."""

import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import httpx
import pytest
from sqlalchemy import func, select, text

from service import database
from service.jobs import Job, State
from tests.support.callers import Api, Callers, Order
from tests.support.front import Front
from tests.support.postgresql import restart, restartable
from tests.support.stack import Stack, until
from tests.support.table import Measured, Recovered


def rows() -> int:
    """How many jobs there are."""
    with database.standalone() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def done_once(stack: Stack, job_ids: list[str], seconds: float = 90) -> None:
    """Hold that each job ends well, was run once and has ended once."""
    done = stack.ended(*job_ids, seconds=seconds)
    assert {(job.state, job.attempt) for job in done} <= {(State.SUCCEEDED, 1)}
    assert {len(stack.attempts(job_id)) for job_id in job_ids} <= {1}
    assert {stack.events(job_id).count("succeeded") for job_id in job_ids} <= {1}


@pytest.mark.fault("L4", "an order without its task, which nobody will do")
def test_a_job_accepted_by_an_api_that_is_killed_before_it_published_is_done_once(
    stack: Stack, recovered: Recovered
) -> None:
    stack.broker.stop(signal.SIGKILL)
    api = Api(stack)
    callers = Callers(api, "trials.effect", {"seconds": 0})
    with api.client() as client:
        accepted = callers.order(client, "order")
    api.role.kill()
    killed = time.monotonic()
    assert (accepted.status, accepted.job_id is not None) == (202, True)
    stack.broker.start()
    assert stack.broker_depth("slow") == 0
    stack.start("worker", "slow")
    done_once(stack, [accepted.job_id or ""])
    recovered(time.monotonic() - killed)
    assert stack.effects(accepted.job_id or "") == [1]


@pytest.mark.fault("L4", "tasks without an order, orders without a task, and two of both for who asks again")
@pytest.mark.fault("D3", "two jobs")
def test_requests_under_way_when_the_api_is_killed_are_sent_again_and_make_one_job_each(
    stack: Stack, recovered: Recovered, measured: Measured
) -> None:
    stack.broker.stop(signal.SIGKILL)
    api = Api(stack)
    with Callers(api, pause=0.02) as callers:
        for _ in range(2):
            callers.more(30)
            api.role.kill()
            api.start()
        callers.more(10)
        api.role.kill()
    killed, answered, made = time.monotonic(), len(callers.accepted), rows()
    api.start()
    with api.client() as client:
        again = {order.key: callers.order(client, order.key) for order in callers.orders}
    assert {order.status for order in again.values()} == {202}
    assert all(order.job_id in {None, again[order.key].job_id} for order in callers.orders)
    ids = [order.job_id or "" for order in again.values()]
    assert len(set(ids)) == len(ids) == rows()
    stack.broker.start()
    stack.start("worker", "fast")
    done_once(stack, ids)
    recovered(time.monotonic() - killed)
    measured(f"{len(ids)} orders, {len(ids) - answered} of them unanswered, {made - answered} of these committed")


@pytest.mark.alone
@pytest.mark.fault("L5", "apply_async blocks for seconds to for ever, and the request with it")
@pytest.mark.parametrize("how", ["stopped", "frozen", "unreachable"])
def test_a_broker_that_goes_away_under_load_fails_no_request_and_delays_none(
    stack: Stack, recovered: Recovered, measured: Measured, how: str
) -> None:
    with Front(stack.broker.port) if how == "unreachable" else nullcontext() as front:
        url = {"BROKER_URL": f"redis://127.0.0.1:{front.port}/0"} if front else {}
        with Callers(Api(stack, **url)) as callers:
            callers.more(50)
            before = callers.more(150)
            with away(stack, front, how):
                meanwhile = callers.more(150)
        back = time.monotonic()
        assert Counter(order.status for order in callers.orders) == {202: len(callers.orders)}
        usual, worst = percentile(before, 99), percentile(meanwhile, 99)
        half = percentile(meanwhile, 50) / percentile(before, 50)
        measured(
            f"99% of {len(meanwhile)} requests within {worst:.3f} s, {worst / usual:.2f} times of before, and half "
            f"of them {half:.2f} times (bounds: 0.5 s more or twice as long, 3 times)"
        )
        # The promise is half a second for the doorbell; on a machine that is busy besides, requests differ by as much.
        assert worst < max(usual + 0.5, usual * 2)
        assert half < 3
        stack.start("worker", "fast")
        done_once(stack, callers.accepted)
        recovered(time.monotonic() - back)


@contextmanager
def away(stack: Stack, front: Front | None, how: str) -> Iterator[None]:
    """The broker is refused, silent, or not to be reached at all."""
    if front is not None:
        begin, end = front.vanish, front.appear
    elif how == "frozen":
        begin, end = stack.broker.freeze, stack.broker.thaw
    else:
        begin, end = stack.broker.stop, stack.broker.start
    begin()
    yield
    end()


def percentile(orders: list[Order], percent: int) -> float:
    """The seconds within which so many of 100 were answered."""
    return statistics.quantiles((order.seconds for order in orders), n=100)[percent - 1]


@pytest.mark.fault("L7", "connections are cut, and who was not answered does not know what became of the order")
def test_an_api_that_is_told_to_stop_answers_whatever_it_has_accepted(stack: Stack, recovered: Recovered) -> None:
    api = Api(stack)
    with Callers(api) as callers:
        callers.more(100)
        with database.transaction() as session:
            # Requests wait for this lock, so that every caller has one under way when the signal comes.
            session.execute(text("LOCK TABLE jobs" if session.get_bind().dialect.name == "postgresql" else "SELECT 1"))
            held = time.monotonic()
            time.sleep(0.5)
            api.role.signal(signal.SIGTERM)
            until(lambda: refused(api))
        until(lambda: api.role.process.poll() is not None, seconds=20)
        ended = time.monotonic()
    recovered(ended - held)
    under_way = [order for order in callers.orders if order.sent_at < held < order.sent_at + order.seconds]
    assert [order.status for order in under_way] == [202] * 8
    assert api.role.process.returncode == 0
    # Nobody was accepted without being told, and whoever was told is served.
    assert {order.status for order in callers.orders} <= {202, None}
    assert rows() == len(callers.accepted)
    stack.start("worker", "fast")
    done_once(stack, callers.accepted)


def refused(api: Api) -> bool:
    """Whether nobody takes connections there any more."""
    try:
        httpx.get(f"{api.url}/health/live", timeout=5)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        # It came in the very moment, and was closed before its request was read.
        return False
    return False


@restartable
@pytest.mark.fault("L11", "500s for as long as dead connections are in the pool")
def test_a_database_that_restarts_under_load_costs_a_few_503_and_no_job(
    stack: Stack, recovered: Recovered, measured: Measured
) -> None:
    stack.start("worker", "fast")
    waits = []
    with Callers(Api(stack), pause=0.02) as callers:
        callers.more(50)
        for _ in range(3):
            restart()
            back = time.monotonic()
            until(lambda since=back: any(order.status == 202 for order in callers.since(since)))  # type: ignore[misc]
            waits.append(time.monotonic() - back)
            callers.more(50)
    recovered(max(waits))
    answers = Counter((order.status, order.said) for order in callers.orders)
    measured(f"{', '.join(f'{count} times {status}' for (status, _), count in answers.items())} (bound: 5 s)")
    assert answers.keys() <= {(202, "application/json"), (503, "application/problem+json")}
    assert max(waits) < 5
    done = stack.ended(*callers.accepted, seconds=90)
    assert {job.state for job in done} == {State.SUCCEEDED}
