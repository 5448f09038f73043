"""procrastinate, whose jobs are rows of PostgreSQL, as its quickstart sets it up."""

from benchmarks.contestant import Contestant, Survives

CONTESTANT = Contestant(
    name="procrastinate",
    title="procrastinate (PostgreSQL)",
    survives=Survives("no, unless a task of one's own does it", "yes, it has none", "yes, one transaction"),
    packages=("procrastinate", "flask", "gunicorn", "pydantic"),
    versions=("procrastinate",),
    workers=("procrastinate --app=benchmarks.peers.procrastinate.app.app worker",) * 2,
    prepare="procrastinate --app=benchmarks.peers.procrastinate.app.app schema --apply",
    done="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
)
