"""Redelivery over HTTP: who may ask for it, and of which jobs."""

import httpx
import pytest

from service.jobs import operate, submit
from service.webhooks import orders
from tests.contract.conftest import Make, Service
from tests.support.stack import Stack


@pytest.fixture
def told() -> str:
    """Make a job of anna's client that has a callback; gives its id."""
    return submit("trials.sleep", {"seconds": 60}, client="shop", callback_url="http://127.0.0.1:9/hook").id


def test_an_ended_job_is_redelivered_by_whom_the_history_says(anna: httpx.Client, stores: Stack, told: str) -> None:
    anna.post(f"/v1/jobs/{told}/cancel")
    before = {row.id for row in stores.jobs(orders.TASK)}
    assert anna.post(f"/v1/jobs/{told}/redeliver").json()["id"] == told
    last = anna.get(f"/v1/jobs/{told}/events").json()["events"][-1]
    assert (last["event"], last["by"]) == ("redelivered by hand", "shop")
    (another,) = [row for row in stores.jobs(orders.TASK) if row.id not in before]
    (first,) = [row for row in stores.jobs(orders.TASK) if row.kwargs == another.kwargs and row.id in before]
    # The deliveries are the service's own jobs, which a client neither sees nor touches.
    assert {another.client, first.client} == {"shop's webhooks"}
    assert anna.get(f"/v1/jobs/{another.id}").status_code == 404
    assert anna.get("/v1/jobs", params={"task": orders.TASK}).json()["jobs"] == []


def test_a_job_that_has_not_ended_or_has_no_callback_is_not(anna: httpx.Client, told: str, job: Make) -> None:
    assert "got: queued" in anna.post(f"/v1/jobs/{told}/redeliver").json()["detail"]
    silent = job()
    operate.cancel(silent, by="test", client=None)
    refused = anna.post(f"/v1/jobs/{silent}/redeliver")
    assert (refused.status_code, refused.json()["title"]) == (409, "Wrong state")
    assert "callback_url" in refused.json()["detail"]


def test_it_is_done_again_only_after_a_while(anna: httpx.Client, stores: Stack, told: str) -> None:
    anna.post(f"/v1/jobs/{told}/cancel")
    assert anna.post(f"/v1/jobs/{told}/redeliver").status_code == 200
    deliveries = len(stores.jobs(orders.TASK))
    refused = anna.post(f"/v1/jobs/{told}/redeliver")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert len(stores.jobs(orders.TASK)) == deliveries


def test_only_who_may_write_and_whose_job_it_is(service: Service, bert: httpx.Client, told: str) -> None:
    with service.caller("reader") as reader, service.caller("operator") as operator:
        assert reader.post(f"/v1/jobs/{told}/redeliver").status_code == 403
        assert bert.post(f"/v1/jobs/{told}/redeliver").status_code == 404
        operator.post(f"/v1/jobs/{told}/cancel")
        assert operator.post(f"/v1/jobs/{told}/redeliver").status_code == 200
