"""The service that the template renders, with its default answers."""

from benchmarks.contestant import Contestant, Survives

CONTESTANT = Contestant(
    name="ours",
    title="the rendered service",
    survives=Survives("yes, by itself", "yes, by itself", "yes, one transaction"),
    api="python -m service api",
    workers=("python -m service worker fast",),
    prepare="python -m service migrate",
    done="SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL AND state = 'succeeded'",
    # Neither refuses what the load sends; both are kept all the same, the rate in Redis and the room in PostgreSQL.
    environment={"RATE_LIMIT": "100000000/minute", "MAX_WAITING_JOBS": "100000000"},
)
