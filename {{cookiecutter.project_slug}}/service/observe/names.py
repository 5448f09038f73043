"""The metrics: their names and tags, in one place for what emits, graphs and alerts on them.

Each carries `service`, `env` and `version` besides. Durations are in seconds.
"""

from collections.abc import Mapping

COMMON = ("service", "env", "version")
JOB = ("task", "queue")
REQUEST = ("status", "method", "operation")

# What a job comes to, and what waits in a queue and works on it.
EVENTS = ("accepted", "started", "succeeded", "failed", "cancelled", "retried", "crashed")
QUEUE = ("depth", "oldest_seconds", "running", "workers", "dead_letters")

# A publish that failed is counted, too: the job waits for the reconciler.
COUNTS: dict[str, tuple[str, ...]] = {"doorbell.failed": (), "api.requests": REQUEST}
COUNTS |= {f"jobs.{event}": JOB for event in EVENTS}
# A run of a schedule that beat submitted, left out since the one before has not ended, or was too late for.
COUNTS |= {f"schedule.{run}": ("entry",) for run in ("submitted", "skipped", "missed")}

DISTRIBUTIONS = {"jobs.duration": JOB, "jobs.wait": JOB, "jobs.attempts": JOB, "api.duration": REQUEST}

# Told by the reconciler's leader alone, so that no process counts what another one counted.
GAUGES: Mapping[str, tuple[str, ...]] = {f"queue.{each}": ("queue",) for each in QUEUE} | {"beat.workers": ()}
