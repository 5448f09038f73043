"""What holds for every POST that makes a job: a resource's own tests inherit it, and say where and what to order."""

import json
from typing import Any, ClassVar
from uuid import uuid4

import httpx
import pytest

from service.jobs import query
from tests.contract.conftest import Service


class Orders:
    """Tests for one resource; `body` is a good one, and `task` what the job is to do."""

    path: ClassVar[str]
    body: ClassVar[dict[str, Any]]
    task: ClassVar[str]

    def test_is_accepted(self, anna: httpx.Client) -> None:
        """A job is accepted with 202 and found at its Location."""
        accepted = anna.post(self.path, json=self.body)
        assert accepted.status_code == 202
        assert accepted.headers["location"] == f"/v1/jobs/{accepted.json()['id']}"
        shown = anna.get(accepted.headers["location"]).json()
        assert (shown["task"], shown["state"], shown["client"]) == (self.task, "queued", "shop")

    def test_is_accepted_while_the_broker_is_down(self, brokerless: Service) -> None:
        """A job is accepted although nothing can ring for it."""
        with brokerless.caller("anna") as anna:
            assert anna.post(self.path, json=self.body).status_code == 202

    def test_carries_the_request_id(self, anna: httpx.Client) -> None:
        """The job carries the request's id to the worker's log lines."""
        job = anna.post(self.path, json=self.body, headers={"X-Request-Id": "trace-1.2_3"}).json()
        assert query.get(job["id"], None).context["request_id"] == "trace-1.2_3"

    def test_the_same_key_gives_the_same_job(self, anna: httpx.Client) -> None:
        """A request sent twice with one Idempotency-Key makes one job."""
        key = {"Idempotency-Key": str(uuid4())}
        first, second = (anna.post(self.path, json=self.body, headers=key) for _ in range(2))
        assert first.status_code == second.status_code == 202
        assert first.json()["id"] == second.json()["id"]

    def test_a_key_is_for_one_request(self, anna: httpx.Client) -> None:
        """Another body under a used key is refused, naming the header."""
        key = {"Idempotency-Key": str(uuid4())}
        anna.post(self.path, json=self.body, headers=key)
        refused = anna.post(self.path, json={**self.body, "run_at": "2098-12-31T23:00:00Z"}, headers=key)
        assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")

    def test_keys_belong_to_their_client(self, anna: httpx.Client, bert: httpx.Client) -> None:
        """Two clients may use the same key."""
        key = {"Idempotency-Key": str(uuid4())}
        jobs = {caller.post(self.path, json=self.body, headers=key).json()["id"] for caller in (anna, bert)}
        assert len(jobs) == 2

    @pytest.mark.parametrize("key", [b"", b"k" * 256, b"k\tk", "schlüssel".encode()])
    def test_a_wrong_key(self, anna: httpx.Client, key: bytes) -> None:
        """A key is 1 to 255 printable characters."""
        headers = {b"Content-Type": b"application/json", b"Idempotency-Key": key}
        refused = anna.post(self.path, content=json.dumps(self.body), headers=headers)
        assert (refused.status_code, refused.json()["field"]) == (400, "Idempotency-Key")

    def test_later(self, anna: httpx.Client) -> None:
        """A job with run_at waits for its time, whatever zone that was given in."""
        job = anna.post(self.path, json={**self.body, "run_at": "2098-12-31T23:00:00-02:00"}).json()
        assert (job["waiting_for"], job["run_at"]) == ("time", "2099-01-01T01:00:00.000Z")

    def test_at_once(self, anna: httpx.Client) -> None:
        """A run_at that is past means now."""
        job = anna.post(self.path, json={**self.body, "run_at": "2001-01-01T00:00:00Z"}).json()
        assert job["waiting_for"] is None

    @pytest.mark.parametrize(
        "run_at",
        [
            pytest.param("2030-01-31T09:30:00", id="a time without its zone"),
            pytest.param("2030-01-31", id="a day without time"),
            pytest.param("2030-02-30T09:30:00Z", id="a day that does not exist"),
            pytest.param("2130-01-31T09:30:00Z", id="another century"),
            pytest.param("9999-12-31T23:59:59-23:59", id="the end of the calendar"),
            pytest.param(1900000000, id="an epoch"),
        ],
    )
    def test_at_no_time(self, anna: httpx.Client, run_at: object) -> None:
        """A run_at that is no moment of this century is refused by name."""
        refused = anna.post(self.path, json={**self.body, "run_at": run_at})
        assert (refused.status_code, refused.json()["field"]) == (400, "run_at")

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["a null byte", "half a character"])
    def test_text_that_cannot_be_stored(self, anna: httpx.Client, text: str) -> None:
        """What PostgreSQL could not keep is refused before it gets there."""
        fields = [name for name, value in self.body.items() if isinstance(value, str)]
        if not fields:
            pytest.skip(f"a body of {self.path} has no text of its own")
        for field in fields:
            body = json.dumps({**self.body, field: text})
            refused = anna.post(self.path, content=body, headers={"Content-Type": "application/json"})
            assert (refused.status_code, refused.json()["field"]) == (400, field)

    def test_may_have_a_callback(self, anna: httpx.Client) -> None:
        """Where the job is posted when it has ended is part of the request, and shown."""
        key, url = {"Idempotency-Key": str(uuid4())}, "http://127.0.0.1:9/hook?of=anna"
        assert anna.post(self.path, json={**self.body, "callback_url": url}, headers=key).json()["callback_url"] == url
        refused = anna.post(self.path, json={**self.body, "callback_url": f"{url}2"}, headers=key)
        assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")

    @pytest.mark.parametrize(
        ("url", "status"),
        [
            pytest.param("http://169.254.169.254/latest", 422, id="a private address"),
            pytest.param("http://0:9/", 422, id="another way to write one"),
            pytest.param("https://user:password@example.com/", 422, id="a password"),
            pytest.param("ftp://example.com/", 400, id="another scheme"),
            pytest.param("hook", 400, id="no URL"),
            pytest.param(None, 400, id="null"),
        ],
    )
    def test_a_wrong_callback(self, anna: httpx.Client, url: str | None, status: int) -> None:
        """A callback that may not be called is refused by name."""
        refused = anna.post(self.path, json={**self.body, "callback_url": url})
        assert (refused.status_code, refused.json()["field"]) == (status, "callback_url")

    def test_a_callback_of_a_client_without_a_secret(self, bert: httpx.Client) -> None:
        """What could not be signed is not accepted, and the answer says what to ask the operator for."""
        refused = bert.post(self.path, json={**self.body, "callback_url": "http://127.0.0.1:9/hook"})
        assert (refused.status_code, refused.json()["field"]) == (422, "callback_url")
        assert "webhooks secret --client crm" in refused.json()["detail"]

    def test_needs_a_token_that_may_write(self, service: Service) -> None:
        """Without one nothing is accepted, whatever the body is."""
        with service.caller() as stranger, service.caller("reader") as reader:
            assert stranger.post(self.path, json=self.body).status_code == 401
            assert reader.post(self.path, json=self.body).status_code == 403
