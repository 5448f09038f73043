"""RQ, as its README sets it up: a worker forks for each job."""

from benchmarks.contestant import Contestant, Survives

CONTESTANT = Contestant(
    name="rq",
    title="RQ",
    survives=Survives("no: it is filed as failed", "no", "no"),
    packages=("rq", "flask", "gunicorn", "pydantic"),
    versions=("rq",),
    workers=("rq worker --url {redis} --quiet",) * 2,
    done="list rq:queue:default",
)
