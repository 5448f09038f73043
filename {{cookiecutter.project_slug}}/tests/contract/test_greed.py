"""One client that asks for a lot: what it costs the others is bounded."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from service.api import validation
from service.api.tokens import mint
from service.database import transaction
from service.errors import InvalidRequest
from service.jobs import Job, State, casualties, doorbell, history, operate, query, submit
from service.webhooks import delivery, orders, secrets
from service.webhooks.model import Message
from tests.contract.conftest import serving
from tests.contract.wire import Wire
from tests.support.door import PATH
from tests.support.stack import Stack, until

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


def _redeliver(job: Job) -> None:
    if query.get(job.id, None).state is not State.CANCELLED:
        operate.cancel(job.id, by="shop", client="shop")
    orders.redeliver(job.id, by="shop", client=None)


ROUNDS: dict[str, Callable[[Job], None]] = {
    "log": _log,
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
    # A task's own lines push out only each other.
    assert len(events) == 20 + (kind == "log")
    assert events[-1] == kind


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
    monkeypatch.setattr(casualties, "MAX_REFUSED", 5)
    for number in range(20):
        casualties.keep(f"{number}", "", "")
    assert len(stores.refused_messages()) == 5


def test_a_running_job_is_asked_to_stop_once(stores: Stack) -> None:
    job = submit("trials.sleep", {"seconds": 60}, client="shop")
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(state=State.RUNNING, worker="w", attempt=1))
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


def test_large_bodies_of_one_client_do_not_stand_before_anothers(stores: Stack) -> None:
    """Of thirty large bodies that are under way, most are answered after a body that came last, of somebody else."""
    minted = {name: mint(name, ["jobs:write"], name="test") for name in ("alice", "bob")}
    known = ",".join(entry for _, entry in minted.values())
    large, names = f"[{'[],' * 43_000}[]]".encode(), [f"alice-body-{number}" for number in range(30)]
    last = "bob-body"
    order = json.dumps({"task": "trials.sleep", "arguments": {"seconds": 60}}).encode() + b" " * 20_000
    with serving(stores, API_TOKENS=known, DOOR="open") as (url, role), ExitStack() as held:
        wires = {name: held.enter_context(Wire(url, 120)) for name in [*names, last]}
        for name, wire in wires.items():
            body, token = order if name == last else large, minted[name.split("-")[0]][0]
            length, kind = f"Content-Length: {len(body)}", "Content-Type: application/json"
            headers = (f"Authorization: Bearer {token}", f"X-Request-Id: {name}", length, kind)
            wire.send(wire.request(f"POST {PATH}", *headers, body=body[:-1]))
        # Time for the service to read what was sent; the ends are so small that they arrive in their order.
        assert httpx.get(f"{url}/health/live", timeout=60).status_code == 200
        for name, wire in wires.items():
            wire.send(b" " if name == last else b"]")
        assert {name: wire.answer().status for name, wire in wires.items()} == dict.fromkeys(names, 400) | {last: 202}
        # In the log stands in which order they were answered, whenever it was that this test got to see it.
        until(lambda: role.log.read_text().count('"POST"') == len(wires))
        lines = [json.loads(line) for line in role.log.read_text().splitlines()]
    served = [line["request_id"] for line in lines if line.get("method") == "POST"]
    assert sorted(served) == sorted(wires)
    assert served.index(last) < len(names) / 2
