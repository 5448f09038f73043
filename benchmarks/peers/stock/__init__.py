"""Celery as Flask's documentation sets it up, with results in Redis."""

from benchmarks.contestant import Contestant, Survives

CONTESTANT = Contestant(
    name="stock",
    title="stock Celery, results in Redis",
    survives=Survives("no: acknowledged before it runs", "no", "no"),
    packages=("celery[redis]", "flask", "gunicorn", "pydantic"),
    versions=("celery", "flask", "gunicorn"),
    workers=("celery --app benchmarks.peers.stock.app worker --concurrency 2",),
    done="list celery",
    environment={"RESULTS": "1"},
)
