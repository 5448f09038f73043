"""The policy: which queues there are and how each treats its work.

Every number about queues lives here, with its unit; numbers of the environment live in `config.py`.
The worker's command line, the tasks' presets, the reconciler and the platform's grace periods derive from this file.
Any field can be overridden for one deployment: `QUEUE_SLOW_CONCURRENCY=4`.
"""

import random
import sys
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.schedules import Schedule

# The pools of Celery that a queue may have, and what knows where their jobs are: processes are for what computes,
# greenlets, hundreds in one process, for what waits on others.
PLACES = {"prefork": "service.children:Children", "gevent": "service.jobs.shapes.greenlets:Greenlets"}
NO_LIMITS = "threads and solo cannot stop a job at its limits, and of others nothing was shown"


def of_greenlets() -> bool:
    """Whether this process was patched for greenlets; gevent imported says nothing of that, since sentry-sdk does."""
    return "gevent.monkey" in sys.modules and bool(sys.modules["gevent.monkey"].is_module_patched("threading"))


class Queue(BaseModel):
    """How one queue treats its work; all durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(ge=1, le=1000, description="jobs one worker runs at once")
    prefetch: int = Field(ge=1, le=1000, description="messages each of them holds ahead; more is unfair to long jobs")
    soft_limit: float = Field(gt=0, description="an attempt is asked to stop, and may tidy up")
    hard_limit: float = Field(gt=0, description="an attempt is killed")
    max_retries: int = Field(ge=0, le=100, description="failures that are tried again before the dead letter")
    backoff: float = Field(ge=1, description="the first wait between attempts; it doubles with each failure")
    backoff_cap: float = Field(ge=1, description="the longest wait between attempts")
    grace: float = Field(gt=0, description="time to finish after SIGTERM; what is left is handed back")
    max_tasks_per_child: int = Field(ge=1, description="jobs after which a process is replaced, against slow leaks")
    max_memory_per_child: int = Field(ge=50_000, description="KiB of memory after which a process is replaced")
    pool: str = Field(default="prefork", description="prefork for jobs that compute, gevent for jobs that wait")

    @field_validator("pool")
    @classmethod
    def _keeps_limits(cls, value: str) -> str:
        if value not in PLACES:
            raise ValueError(f"expected {' or '.join(PLACES)}, got: {value!r}; {NO_LIMITS}")
        return value

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        if self.soft_limit >= self.hard_limit:
            raise ValueError(
                f"expected soft_limit to be below hard_limit, got: {self.soft_limit:g} and {self.hard_limit:g}"
            )
        return self

    def wait(self, failures: int) -> float:
        """Seconds before the attempt after this many failures: exponential, capped, half of it fixed and half jitter.

        Full jitter can come to no wait at all, and none at all is what an upstream in trouble can bear least.
        """
        # Beyond 2**30 every cap has long been reached, and a float would overflow at last.
        full = min(self.backoff_cap, self.backoff * 2.0 ** min(failures - 1, 30))
        return full / 2 + random.uniform(0, full / 2)  # noqa: S311 - it spreads load, it keeps no secret


QUEUES: dict[str, Queue] = {
    "fast": Queue(
        concurrency=4,
        prefetch=4,
        soft_limit=20,
        hard_limit=30,
        max_retries=5,
        backoff=2,
        backoff_cap=300,
        grace=30,
        max_tasks_per_child=1000,
        max_memory_per_child=300_000,
    ),
    "slow": Queue(
        concurrency=2,
        prefetch=1,
        soft_limit=1500,
        hard_limit=1800,
        max_retries=3,
        backoff=10,
        backoff_cap=3600,
        grace=90,
        max_tasks_per_child=100,
        max_memory_per_child=600_000,
    ),
}

# Periodic work, by a name that stays: each run is a job with a key of its own, so that two beats make one.
SCHEDULE: dict[str, Any] = {
    "purge-ended-jobs": Schedule(task="maintenance.purge", cron="15 3 * * *"),
}

# Budgets beside a task's own retries: deaths of the process that ran the job, and of its whole worker.
MAX_CRASHES = 3
MAX_LOSSES = 10

# A running job whose worker lives is given up this long after its hard limit.
DEADLINE_GRACE = 30.0

# Heartbeats a worker may miss before its jobs are queued again.
MISSED_HEARTBEATS = 3

# The reconciler: seconds between sweeps (a heartbeat's where that is shorter), and rows it mends in one. After so many
# missed sweeps a leader is replaced, and a doorbell that nobody answered is rung again.
SWEEP_SECONDS = 5.0
SWEEP_ROWS = 1000
MISSED_SWEEPS = 3

# Doorbells that a queue of the broker holds at most, about 45 MB of them, and after how many of its own a process looks
# again how many there are. What is left out waits in its row, and the reconciler rings when there is room.
MAX_DOORBELLS = 50_000
DOORBELLS_A_LOOK = 1000

# A cancelled job that does not look is sent the soft limit's signal after so many seconds, and killed after twice that.
CANCEL_SIGNAL_SECONDS = 10.0

# Webhooks: seconds for one try in all; seconds between the tries of one message, about a day together, after an example
# of Standard Webhooks; and seconds after which one that never had its turn is given up.
WEBHOOK_SECONDS = 3.0
WEBHOOK_WAITS = (5, 300, 1800, 7200, 18_000, 28_800, 28_800)
WEBHOOK_AGE = 86_400.0

# Whose job a client's delivery is: nobody's who has a token, and counted with the client's.
WEBHOOK_CLIENT = "{}'s webhooks"

# A host that failed so many times in a row is spared for so many seconds, twice as long each further time, up to a cap.
HOST_FAILURES = 3
HOST_SPARED_SECONDS = 30.0
HOST_SPARED_CAP = 3600.0

# Sizes in bytes of JSON: what a job may be given, and what it may return.
MAX_ARGUMENTS = 64 * 1024
MAX_RESULT = 256 * 1024

# Characters of a unique or lock key.
MAX_KEY = 200

# Jobs that one batch has at most.
MAX_BATCH = 100_000

# Steps that one pipeline has at most; their arguments together are one job's.
MAX_STEPS = 20

# Seconds between two writes of one job's progress: a hotter row bloats PostgreSQL.
PROGRESS_SECONDS = 1.0

# Redis returns an unacknowledged message after this long; only plain `.delay()` tasks depend on it, and
# `check` refuses one under twice the longest hard limit.
VISIBILITY_TIMEOUT = 3600

# Alerts (deploy/monitors/): minutes that are looked at, and those over which a trend is; and the seconds that a queue's
# oldest job may wait before somebody is called, or twice its hard limit where that is longer (half of it warns).
ALERT_MINUTES = 5
TREND_MINUTES = 60
ALERT_WAIT = 300.0

# What warns, and what calls somebody.
ALERTS: dict[str, tuple[float, float]] = {
    "dead-letters": (0, 10),  # more of a queue than a trend's minutes ago
    "failure-ratio": (0.1, 0.5),  # of a task's jobs that ended within a trend's minutes
    "doorbell": (0, 20),  # publishes that failed
    "api-errors": (0.01, 0.05),  # of the requests, answered with 5xx
    "api-latency": (0.5, 1.0),  # seconds until an answer, on average
}
