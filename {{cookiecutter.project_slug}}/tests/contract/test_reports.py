"""Reports over HTTP: ordered, and fetched once they are made."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.database import transaction
from service.jobs import submit
from service.models.report import Report
from tests.contract.conftest import Service
from tests.contract.orders import Orders
from tests.contract.test_connections import Callers
from tests.support.stack import Role, Stack

BODY: dict[str, Any] = {"title": "Q3", "rows": 1000}


class TestOrder(Orders):
    path, body, task = "/v1/reports", BODY, "reports.export"


def report(**changes: Any) -> bytes:
    """A body with these changes."""
    return json.dumps({**BODY, **changes}).encode()


WRONG = {
    "a missing field": (b'{"title": "Q3"}', "rows"),
    "a number too small": (report(rows=0), "rows"),
    "a number too large": (report(rows=10**6 + 1), "rows"),
    "more than 64 bits": (report(rows=2**70), "rows"),
    "a fraction": (report(rows=1.5), "rows"),
    "an exponent out of range": (b'{"title": "Q3", "rows": 1e999}', "rows"),
    "a text for a number": (report(rows="10"), "rows"),
    "a boolean for a number": (report(rows=True), "rows"),
    "an empty text": (report(title=""), "title"),
    "a long text": (report(title="x" * 201), "title"),
}


@pytest.mark.parametrize(("body", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_body(anna: httpx.Client, body: bytes, field: str) -> None:
    """A report that cannot be is refused by the field's name."""
    refused = anna.post("/v1/reports", content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["field"]) == (400, field)


def test_it_is_there_once_it_is_made(anna: httpx.Client, bert: httpx.Client) -> None:
    """A report is 404 before its job has made it, CSV after, and still 404 for another client."""
    job = anna.post("/v1/reports", json=BODY).json()
    assert anna.get(f"/v1/reports/{job['id']}").status_code == 404
    with transaction() as session:
        session.add(Report(job_id=job["id"], title="Q3", rows=1, csv="row,value\r\n1,ü\r\n"))
    made = anna.get(f"/v1/reports/{job['id']}")
    assert made.headers["content-type"] == "text/csv; charset=utf-8"
    assert made.text == "row,value\r\n1,ü\r\n"
    assert bert.get(f"/v1/reports/{job['id']}").status_code == 404


@pytest.mark.slow
def test_large_answers_that_nobody_reads_do_not_fill_the_memory(service: Service, stores: Stack) -> None:
    job = submit("trials.sleep", {"seconds": 60}, client="shop")
    with transaction() as session:
        session.add(Report(job_id=job.id, title="large", rows=1, csv="x" * 16_000_000))
    (role,) = [role for role in stores.roles if role.said(httpx.URL(service.url).netloc.decode())]
    callers = Callers(service, "anna")
    try:
        before = memory(role)
        for _ in range(16):
            callers.connect(window=4096).sendall(callers.request(f"GET /v1/reports/{job.id}"))
        highest = 0.0
        until = time.monotonic() + 6
        while time.monotonic() < until:
            highest = max(highest, memory(role))
            time.sleep(0.1)
        # Sixteen at once took some 600 MB.
        assert highest - before < 200
        with service.caller("anna") as anna:
            assert anna.get("/v1/jobs").status_code == 200
            refused = anna.get(f"/v1/reports/{job.id}")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    finally:
        callers.end()


def memory(role: Role) -> float:
    """What a role's process has, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{role.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000
