"""One client that asks for a lot: what it costs the others is bounded."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from sqlalchemy import event, func, select, update

from service import refused
from service.api import validation
from service.api.tokens import mint
from service.database import engine, now, transaction
from service.errors import InvalidRequest, TooManyWaiting
from service.jobs import Job, State, doorbell, history, operate, processes, query, submit
from service.webhooks import delivery, orders, secrets
from service.webhooks.model import Message
from tests.contract.conftest import serving
from tests.contract.wire import Wire
from tests.support.door import PATH
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

CALLBACK = "http://127.0.0.1:9/hook"


def test_a_key_that_stands_twice_is_found_as_fast_as_none() -> None:
    def cost(last: str) -> float:
        """Seconds of CPU to read an object of many keys."""
        keys = ", ".join(f'"{key}": 0' for key in [*(f"k{number}" for number in range(10_000)), last])
        raw = "{" + keys + "}"
        began = time.process_time()
        with suppress(InvalidRequest):
            validation._load(raw.encode())
        return time.process_time() - began

    with pytest.raises(InvalidRequest, match="expected a once, got it again"):
        validation._load(b'{"a": 0, "a": 0}')
    # One by one against all of them it was a hundred times as much.
    once, twice = (min(cost(last) for _ in range(5)) for last in ("other", "k9999"))
    assert twice < 10 * once


def _log(job: Job) -> None:
    with transaction() as session:
        history.record(session, job, "log", "said")


def _retry(job: Job) -> None:
    operate.cancel(job.id, by="shop", client="shop")
    operate.retry(job.id, by="shop", client="shop")


def _run(job: Job, pid: int | None = None) -> None:
    with transaction() as session:
        taken = {"state": State.RUNNING, "worker": "w", "pid": pid, "attempt": 1, "started_at": now()}
        session.execute(update(Job).where(Job.id == job.id).values(taken))


def _ask(job: Job) -> None:
    _run(job)
    operate.ask_stack(job.id, by="ops", client=None)


def _redeliver(job: Job) -> None:
    if query.get(job.id, None).state is not State.CANCELLED:
        operate.cancel(job.id, by="shop", client="shop")
    orders.redeliver(job.id, by="shop", client=None)


ROUNDS: dict[str, Callable[[Job], None]] = {
    "log": _log,
    "stack": _ask,
    "retried by hand": _retry,
    "redelivered by hand": _redeliver,
    "delivery failed": lambda job: delivery.tell(job, "delivery failed", "503 from nobody", None),
}


@pytest.mark.parametrize("kind", history.KEPT)
def test_the_history_of_a_job_that_is_sent_round_and_round_stays_short(
    stores: Stack, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(history.KEPT, kind, 20)
    monkeypatch.setattr(orders, "REDELIVER_SECONDS", 0)
    job = submit("trials.sleep", {"seconds": 60}, client="shop", callback_url=CALLBACK)
    for _ in range(30):
        ROUNDS[kind](job)
    events = [line.event for line in query.events(job.id, None)]
    # A task's own lines push out only each other, and so do the questions where it is.
    assert len(events) == 20 + (kind in {"log", "stack"})
    assert events[-1] == kind


def test_each_process_is_looked_at_once_and_few_with_a_heartbeat(stores: Stack) -> None:
    """However often it is asked where a job is: the worker's heartbeat waits for the answers."""
    jobs = [submit("trials.sleep", {"seconds": 60}, client="shop") for _ in range(processes.PROCESSES + 2)]
    for pid, job in enumerate(jobs, 101):
        _run(job, pid=pid)
        for _ in range(3):
            operate.ask_stack(job.id, by="ops", client=None)
    looked: list[list[int]] = []

    def where(pid: int) -> str:
        looked[-1].append(pid)
        return f"stack of {pid}"

    for _ in range(3):
        looked.append([])
        processes.answer("w", where)
    assert looked == [[101, 102, 103, 104, 105], [106, 107], []]
    said = [line.message for line in query.events(jobs[-1].id, None) if line.event == "stack"]
    assert said == ["stack of 107"] * 3


def test_one_that_is_sent_round_and_round_leaves_few_messages_for_its_receiver_and_one_in_the_broker(
    stores: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MAX_MESSAGES", 5)
    assert doorbell.flush(10)
    before = stores.broker_depth("slow")
    job = submit("trials.sleep", {"seconds": 60}, client="shop", callback_url=CALLBACK)
    for _ in range(30):
        _retry(job)
    with transaction() as session:
        assert session.scalar(select(func.count()).where(Message.job_id == job.id)) == 5
    assert doorbell.flush(10)
    assert stores.broker_depth(job.queue) == before + 1


def test_an_order_that_is_sent_again_rings_no_more(stores: Stack) -> None:
    assert doorbell.flush(10)
    before = stores.broker_depth("slow")
    for _ in range(20):
        submit("trials.sleep", {"seconds": 60}, client="shop", idempotency_key="again and again")
    assert doorbell.flush(10)
    assert stores.broker_depth("slow") == before + 1


def test_garbage_is_kept_up_to_a_number(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MAX_REFUSED", 5)
    for number in range(20):
        refused.keep(f"{number}", "", "")
    assert len(stores.refused_messages()) == 5


def test_a_running_job_is_asked_to_stop_once(stores: Stack) -> None:
    job = submit("trials.sleep", {"seconds": 60}, client="shop")
    _run(job)
    for _ in range(5):
        operate.cancel(job.id, by="shop", client="shop")
    assert [line.event for line in query.events(job.id, None)].count("cancel requested") == 1


def test_deliveries_that_wait_count_with_their_clients_jobs(stores: Stack) -> None:
    """Who has as much waiting as it may can order nothing more that is told of; without being told it can."""
    token, entry = mint("crowd", ["jobs:read", "jobs:write"], name="test")
    known = {"API_TOKENS": entry, "MAX_WAITING_JOBS": "3", "DOOR": "open", "WEBHOOK_SECRETS": secrets.mint("crowd")[1]}
    with serving(stores, **known) as (url, _):
        headers = {"Authorization": f"Bearer {token}"}
        caller = httpx.Client(base_url=url, headers=headers)

        def order(**more: Any) -> httpx.Response:
            return caller.post(PATH, json={"task": "trials.sleep", "arguments": {"seconds": 60}, **more})

        for _ in range(3):
            told = order(callback_url=CALLBACK)
            assert told.status_code == 202
            assert caller.post(f"/v1/jobs/{told.json()['id']}/cancel").status_code == 200
        assert order(callback_url=CALLBACK).status_code == 429
        assert caller.post(f"/v1/jobs/{told.json()['id']}/redeliver").status_code == 429
        assert order().status_code == 202


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that count a client's waiting jobs."""
    monkeypatch.setattr(query, "_room", {})
    monkeypatch.setattr(query, "ROOM_SECONDS", 60.0)
    made: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(*)" in statement:
            made.append(statement)

    event.listen(engine(), "before_cursor_execute", note)
    yield made
    event.remove(engine(), "before_cursor_execute", note)


def order(client: str, may_wait: int) -> bool:
    """Submit one more; gives whether it may wait."""
    try:
        submit("trials.sleep", {"seconds": 60}, client=client, may_wait=may_wait)
    except TooManyWaiting:
        return False
    return True


def test_of_a_client_with_much_room_not_each_job_is_counted(stores: Stack, counts: list[str]) -> None:
    assert all(order("roomy", 1000) for _ in range(60))
    assert len(counts) == 1


def test_processes_that_do_not_count_each_job_stay_within_the_limit_together(
    stores: Stack, counts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen of them, each with what it remembers, take turns until nobody may."""
    remembered: list[dict[Any, Any]] = [{} for _ in range(query.SHARE)]
    accepted = refused = 0
    while refused < query.SHARE:
        monkeypatch.setattr(query, "_room", remembered[(accepted + refused) % query.SHARE])
        if order("crowded", 100):
            accepted, refused = accepted + 1, 0
        else:
            refused += 1
    assert accepted == 100
    assert len(counts) > query.SHARE


def test_large_bodies_of_one_client_do_not_stand_before_anothers(stores: Stack) -> None:
    """Of thirty large bodies at once a few are read, the others told to come again; one of somebody else is taken."""
    minted = {name: mint(name, ["jobs:write"], name="test") for name in ("alice", "bob")}
    known = ",".join(entry for _, entry in minted.values())
    large, names = f"[{'[],' * 43_000}[]]".encode(), [f"alice-body-{number}" for number in range(30)]
    last = "bob-body"
    order = json.dumps({"task": "trials.sleep", "arguments": {"seconds": 60}}).encode() + b" " * 20_000
    with serving(stores, API_TOKENS=known, DOOR="open") as (url, _), ExitStack() as held:
        wires = {name: held.enter_context(Wire(url, 120)) for name in [*names, last]}
        for name, wire in wires.items():
            body, token = order if name == last else large, minted[name.split("-")[0]][0]
            length, kind = f"Content-Length: {len(body)}", "Content-Type: application/json"
            headers = (f"Authorization: Bearer {token}", f"X-Request-Id: {name}", length, kind)
            wire.send(wire.request(f"POST {PATH}", *headers, body=body[:-1]))
        # Time for the service to read what was sent.
        assert httpx.get(f"{url}/health/live", timeout=60).status_code == 200
        for name, wire in wires.items():
            wire.send(b" " if name == last else b"]")
        answers = {name: wire.answer() for name, wire in wires.items()}
    assert answers.pop(last).status == 202
    refused = [answer for answer in answers.values() if answer.status == 429]
    assert refused
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert {answer.status for answer in answers.values()} == {400, 429}
