"""The jobs that the demo sends, and what must become of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.third_party import ThirdParty

LONG_ROWS = 1_000_000
NOTIFICATIONS, REPORTS = "/v1/notifications", "/v1/reports"


@dataclass
class Errand:
    """One request: what it shows, what is sent, and how its job must end."""

    shows: str
    path: str
    body: dict[str, Any]
    state: str = "succeeded"
    attempts: int = 1
    counts: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of its job."""
        return self.job["state"] in {"succeeded", "failed", "cancelled"}

    def fault(self) -> str:
        """What is wrong with the job, or nothing."""
        wanted = {"state": self.state, "attempt": self.attempts, "failures": 0, "crashes": 0, "losses": 0} | self.counts
        wrong = [name for name, value in wanted.items() if self.job[name] != value]
        return "; ".join(f"expected {name} to be {wanted[name]}, got: {self.job[name]}" for name in wrong)

    def seconds(self, since: str, until: str) -> float:
        """The time between two moments of its job."""
        start, end = self.job[since], self.job[until]
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() if start and end else 0.0


def errands(third_party: ThirdParty, down_once: ThirdParty) -> Iterator[Errand]:
    """What is sent at once; the long report comes first, so that it is under way when it is cancelled.

    Who is down once is a host of its own: what others had to say to it would wait until it answers again.
    """
    yield Errand("cancelled while it runs", REPORTS, {"title": "to cancel", "rows": LONG_ROWS}, state="cancelled")
    for number in range(1, 13):
        yield Errand("fast", NOTIFICATIONS, {"url": third_party.url("/ok"), "message": f"order {number}"})
    for _ in range(2):
        body = {"url": third_party.url("/ok"), "message": "order 13, sent twice"}
        yield Errand("one idempotency key, sent twice", NOTIFICATIONS, body, key="order-13")
    body = {"url": down_once.url("/down-once"), "message": "order 14"}
    yield Errand("the third party is down once", NOTIFICATIONS, body, attempts=2, counts={"failures": 1})
    body = {"url": third_party.url("/gone"), "message": "order 15"}
    yield Errand("fails for good", NOTIFICATIONS, body, state="failed", counts={"failures": 1})
    for number in range(1, 6):
        yield Errand("slow", REPORTS, {"title": f"week {number}", "rows": 1000 * number})


def interrupted() -> Errand:
    """The long report that a worker is killed over."""
    body = {"title": "to interrupt", "rows": LONG_ROWS}
    return Errand("its worker is killed", REPORTS, body, attempts=2, counts={"losses": 1})
