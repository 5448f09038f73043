"""Taskiq with FastAPI, on a stream of Redis and with results, as the README of taskiq-redis sets it up."""

from benchmarks.contestant import UVICORN, Contestant, Survives

CONTESTANT = Contestant(
    name="taskiq",
    title="Taskiq (FastAPI)",
    survives=Survives("yes, after ten minutes", "no", "no"),
    packages=("taskiq", "taskiq-redis", "fastapi", "uvicorn[standard]"),
    versions=("taskiq", "taskiq-redis", "fastapi"),
    api=UVICORN,
    workers=("taskiq worker --workers 2 benchmarks.peers.taskiq.app:broker",),
    done="stream taskiq",
)
