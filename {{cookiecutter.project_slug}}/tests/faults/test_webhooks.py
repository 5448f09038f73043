"""Ways in which a webhook is lost, told of what did not happen, or told twice as if it were another."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import sqlalchemy
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from service.database import engine, standalone
from service.jobs import State
from service.webhooks import orders
from service.webhooks.model import Message
from service.webhooks.secrets import mint
from tests.integration.test_webhooks import order, told
from tests.support.receiver import Receiver, Sent
from tests.support.stack import Stack, until
from tests.support.table import Recovered

STOCK = "there are none; one posted by a task is lost with its worker"

# Seconds that it takes to store a message while the test looks on.
SLOW = 4


@pytest.fixture
def signing(stack: Stack) -> Stack:
    """Stores whose workers know a secret of the client's."""
    stack.environment |= {"WEBHOOK_SECRETS": mint("shop")[1]}
    return stack


def messages() -> int:
    """How many there are."""
    with standalone() as session:
        return session.scalar(select(func.count()).select_from(Message)) or 0


@pytest.mark.fault("L1", STOCK)
def test_a_worker_killed_in_mid_delivery_leaves_it_to_the_next_under_the_same_id(
    signing: Stack, recovered: Recovered
) -> None:
    gone = threading.Event()

    def hang_once(sent: Sent) -> tuple[int, dict[str, str]]:
        if len(receiver.sent) == 1:
            gone.wait(60)
        return 204, {}

    with Receiver(answer=hang_once) as receiver:
        worker = signing.start("worker", "fast")
        row = order(receiver.url)
        until(lambda: receiver.sent)
        worker.kill()
        began = receiver.sent[0].at
        signing.start("worker", "fast")
        until(partial(told, signing, row.id, "delivered"), seconds=40)
        gone.set()
        recovered(receiver.sent[-1].at - began)
        assert len(receiver.sent) == 2
        assert len(set(receiver.ids)) == 1
        (delivery,) = signing.ended(*(job.id for job in signing.jobs(orders.TASK)))
        assert (delivery.state, delivery.losses) == (State.SUCCEEDED, 1)


@pytest.mark.fault("L4", "an end is stored and its message is not, or the other way round")
def test_a_job_killed_between_its_end_and_the_order_has_neither_and_then_both(signing: Stack) -> None:
    with Receiver() as receiver:
        worker = signing.start("worker", "fast")
        with slow_messages() as storing:
            row = order(receiver.url)
            until(storing)
            worker.kill()
            assert signing.job(row.id).state is State.RUNNING
            assert (messages(), signing.jobs(orders.TASK)) == (0, [])
        signing.start("worker", "fast")
        until(partial(told, signing, row.id, "delivered"), seconds=40)
        assert signing.job(row.id).attempt == 2
        assert (messages(), len(signing.jobs(orders.TASK)), len(receiver.sent)) == (1, 1, 1)


@pytest.mark.fault("L1", STOCK)
def test_under_kills_each_end_is_told_by_exactly_one_message(signing: Stack) -> None:
    with Receiver() as receiver:
        worker = signing.start("worker", "fast")
        rows = [order(receiver.url, "trials.effect", arguments={"seconds": 0.0}) for _ in range(20)]
        rows += [order(receiver.url) for _ in range(40)]
        slow = signing.start("worker", "slow")
        for enough in (5, 20):
            until(lambda: len(receiver.sent) >= enough, seconds=60)  # noqa: B023
            worker.kill()
            slow.kill()
            worker, slow = signing.start("worker", "fast"), signing.start("worker", "slow")
        for row in rows:
            until(partial(told, signing, row.id, "delivered"), seconds=90)
        assert messages() == len(signing.jobs(orders.TASK)) == len(rows) == len(set(receiver.ids))
        assert {len(told(signing, row.id, "delivered")) for row in rows} == {1}


@contextmanager
def slow_messages() -> Iterator[Callable[[], bool]]:
    """Let the store take its time over each message; gives whether one is being stored now."""
    table, sqlite = Message.__tablename__, engine().dialect.name == "sqlite"
    if sqlite:
        # SQLite has no way to sleep, so it counts.
        busy = "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 30000000)"
        run(f"CREATE TRIGGER slow BEFORE INSERT ON {table} BEGIN SELECT count(*) FROM ({busy} SELECT x FROM c); END")
    else:
        body = f"BEGIN PERFORM pg_sleep({SLOW}); RETURN NEW; END"
        run(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
        run(f"CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION slow()")

    def storing() -> bool:
        with engine().execution_options(standalone=True).connect() as connection:
            if not sqlite:
                asleep = "wait_event = 'PgSleep' AND datname = current_database()"
                count = f"SELECT count(*) FROM pg_stat_activity WHERE {asleep}"
                return bool(connection.exec_driver_sql(count).scalar())
            connection.exec_driver_sql("PRAGMA busy_timeout = 500")
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError:
                return True
            connection.exec_driver_sql("ROLLBACK")
            return False

    try:
        yield storing
    finally:
        # PostgreSQL notices that its client is gone when it has slept.
        until(lambda: not storing(), seconds=2 * SLOW)
        run("DROP TRIGGER slow" if sqlite else f"DROP TRIGGER slow ON {table}")


def run(statement: str) -> None:
    """Change the schema."""
    with engine().begin() as connection:
        connection.execute(sqlalchemy.text(statement))
