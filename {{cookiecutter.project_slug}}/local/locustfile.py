"""Users of the API, for Locust: each orders a job, looks after it until it has ended, and lists its latest ones."""

import os
import time

from locust import FastHttpUser, between, task

from local.example import example

# Seconds between two looks at a job, and for which a user looks after one.
LOOK_SECONDS = 0.5
PATIENCE = 20.0

# The first order that `openapi.yaml` gives an example of; write your own here where that is not what you sell.
ORDER = example()


class Caller(FastHttpUser):  # type: ignore[misc]
    """A client of the service, which thinks for a moment between two things that it does."""

    wait_time = between(0.1, 1.0)
    default_headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}  # noqa: RUF012 - as Locust declares it

    @task(3)  # type: ignore[untyped-decorator]
    def order(self) -> None:
        """Order a job, and look after it."""
        if ORDER is None:
            raise LookupError("expected an order in openapi.yaml with an example, got: none; write one")
        with self.client.post(ORDER.path, json=ORDER.body, catch_response=True) as answer:
            if answer.status_code != 202:
                answer.failure(f"expected 202, got: {answer.status_code}")
                return
            job = answer.json()["id"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            state = self.client.get(f"/v1/jobs/{job}", name="/v1/jobs/{id}").json()["state"]
            if state in {"succeeded", "failed", "cancelled"}:
                return
            time.sleep(LOOK_SECONDS)

    @task  # type: ignore[untyped-decorator]
    def latest(self) -> None:
        """List the latest jobs."""
        self.client.get("/v1/jobs?limit=20", name="/v1/jobs")
