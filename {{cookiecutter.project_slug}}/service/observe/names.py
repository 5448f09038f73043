"""The metrics: their names and tags, in one place for what emits, graphs and alerts on them.

Each carries `service`, `env` and `version` besides. Durations are in seconds.
"""

from collections.abc import Mapping

COMMON = ("service", "env", "version")
JOB = ("task", "queue")
REQUEST = ("status", "method", "operation")

COUNTS: Mapping[str, tuple[str, ...]] = {
    "jobs.accepted": JOB,
    "jobs.started": JOB,
    "jobs.succeeded": JOB,
    "jobs.failed": JOB,
    "jobs.cancelled": JOB,
    "jobs.retried": JOB,
    "jobs.crashed": JOB,
    # A periodic job that beat submitted.
    "schedule.submitted": ("entry",),
    # A publish that failed: the job waits for the reconciler.
    "doorbell.failed": (),
    "api.requests": REQUEST,
}

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "jobs.duration": JOB,
    "jobs.wait": JOB,
    "jobs.attempts": JOB,
    "api.duration": REQUEST,
}

# Told by the reconciler's leader alone, so that no process counts what another one counted.
GAUGES: Mapping[str, tuple[str, ...]] = {
    "queue.depth": ("queue",),
    "queue.oldest_seconds": ("queue",),
    "queue.running": ("queue",),
    "queue.workers": ("queue",),
    "queue.dead_letters": ("queue",),
    "beat.workers": (),
}
