"""Huey on Redis, as its guide sets it up, with processes."""

from benchmarks.contestant import Contestant, Survives

CONTESTANT = Contestant(
    name="huey",
    title="Huey",
    survives=Survives("no: taken off the queue before it runs", "no", "no"),
    packages=("huey", "redis", "flask", "gunicorn", "pydantic"),
    versions=("huey",),
    workers=("huey_consumer --worker-type process --workers 2 benchmarks.peers.huey.app.huey",),
    done="list huey.redis.bench",
)
