"""Dramatiq on Redis, as its guide sets it up: a process for each core, eight threads in each."""

from benchmarks.contestant import Contestant, Survives

CONTESTANT = Contestant(
    name="dramatiq",
    title="Dramatiq",
    survives=Survives("yes, at some time after a minute's silence", "no", "no"),
    packages=("dramatiq[redis]", "flask", "gunicorn", "pydantic"),
    versions=("dramatiq",),
    workers=("dramatiq --processes 2 benchmarks.peers.dramatiq.app",),
    done="list dramatiq:default",
)
