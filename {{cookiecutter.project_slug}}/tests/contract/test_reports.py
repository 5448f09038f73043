"""Reports over HTTP: ordered, and fetched once they are made."""

import json
from typing import Any

import httpx
import pytest

from service.database import transaction
from service.models.report import Report
from tests.contract.orders import Orders

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
