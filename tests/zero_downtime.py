"""A load that goes on whatever is deployed, and the books that must be right after it."""

import threading
import time
import uuid
from collections import Counter

import httpx

from demo.third_party import ThirdParty
from tests.machine import HERE, Machine

CALLERS = 4
PAUSE_SECONDS = 0.05
# Every so many requests one is slow work.
SLOW = 10
END_SECONDS = 120


class Load:
    """Callers who order jobs and ask what became of them, each as soon as it was answered."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.third_party = ThirdParty(HERE)
        self.accepted: dict[str, str] = {}
        self.failures: list[str] = []
        self.requests: Counter[int] = Counter()
        self.slowest = 0.0
        self._before: set[object] = set()
        self._over = threading.Event()
        self._callers = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]

    def start(self) -> None:
        """Begin."""
        with self.machine.api as api:
            self._before = {job["id"] for job in self._jobs(api)}
        for caller in self._callers:
            caller.start()

    def stop(self) -> None:
        """End it, and wait for the last answers."""
        self._over.set()
        for caller in self._callers:
            caller.join()

    def _call(self) -> None:
        number = 0
        with self.machine.api as api:
            while not self._over.wait(PAUSE_SECONDS):
                number += 1
                key = f"{uuid.uuid4()}"
                order = ("/v1/notifications", {"url": self.third_party.url("/ok"), "message": key})
                path, body = order if number % SLOW else ("/v1/reports", {"title": key, "rows": 100})
                job = self._ask(api, "POST", path, key, body)
                if job is None:
                    continue
                self.accepted[key] = job.json()["id"]
                self._ask(api, "GET", f"/v1/jobs/{self.accepted[key]}")

    def _ask(
        self, api: httpx.Client, method: str, path: str, key: str = "", body: object = None
    ) -> httpx.Response | None:
        began = time.monotonic()
        try:
            answer = api.request(method, path, json=body, headers={"Idempotency-Key": key} if key else {})
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {path}: {error!r} after {time.monotonic() - began:.1f} s")
            return None
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.requests[answer.status_code] += 1
        if answer.status_code != (httpx.codes.ACCEPTED if body else httpx.codes.OK):
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def demand_right_books(self) -> None:
        """No request failed; every job that was accepted is there once, has ended, and did its work once."""
        assert not self.failures, f"{len(self.failures)} of {self.requests.total()} requests: {self.failures[:5]}"
        with self.machine.api as api:
            deadline = time.monotonic() + END_SECONDS
            while (jobs := self._jobs(api)) and any(job["state"] != "succeeded" for job in jobs):
                assert time.monotonic() < deadline, Counter(str(job["state"]) for job in jobs)
                time.sleep(1)
        there, ours = Counter(str(job["id"]) for job in jobs), Counter(self.accepted.values())
        assert there == ours, f"{(ours - there).total()} jobs are lost, {(there - ours).total()} were never accepted"
        sent = {key for key, job in self.accepted.items() if job in self._ids(jobs, "notifications.send")}
        assert self.third_party.heard == Counter(dict.fromkeys(sent, 1))

    def _ids(self, jobs: list[dict[str, object]], task: str) -> set[object]:
        return {job["id"] for job in jobs if job["task"] == task}

    def _jobs(self, api: httpx.Client) -> list[dict[str, object]]:
        """All jobs of this load's."""
        found: list[dict[str, object]] = []
        cursor: dict[str, str] = {}
        while True:
            page = api.get("/v1/jobs", params={"limit": "200", **cursor}).raise_for_status().json()
            found += [job for job in page["jobs"] if job["id"] not in self._before]
            if not page.get("next_cursor"):
                return found
            cursor = {"cursor": page["next_cursor"]}
