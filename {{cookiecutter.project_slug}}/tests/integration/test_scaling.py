"""What KEDA asks the store, where the service is deployed to Kubernetes: it counts the work that wants a worker now."""

from pathlib import Path

import pytest
import yaml
from sqlalchemy import text, update

from service import database
from service.jobs import Job, State, operate
from tests.support.stack import Stack

QUERIES = {
    path.stem: yaml.safe_load(path.read_text())["spec"]["triggers"][0]["metadata"]["query"]
    for path in sorted(Path(__file__).parents[2].glob("deploy/kubernetes/keda/worker-*.yaml"))
}


def asked() -> dict[str, float]:
    """What each worker's query says."""
    with database.standalone() as session:
        return {worker: session.execute(text(query)).scalar_one() for worker, query in QUERIES.items()}


@pytest.mark.skipif(not QUERIES, reason="this service is not deployed to Kubernetes")
def test_what_runs_and_what_is_due_asks_for_workers_and_what_waits_for_its_time_or_a_pause_does_not(
    stack: Stack,
) -> None:
    if "sqlite" in stack.environment["DATABASE_URL"]:
        pytest.skip("KEDA asks PostgreSQL")
    running, due, later, ended = (stack.submit("trials.echo", value=str(number)).id for number in range(4))
    slow = stack.submit("chores.long", seconds=1).id
    with database.transaction() as session:
        job = update(Job)
        session.execute(job.where(Job.id == running).values(state=State.RUNNING))
        session.execute(job.where(Job.id == later).values(run_at=database.now(3600)))
        session.execute(job.where(Job.id == ended).values(state=State.FAILED, ended_at=database.now()))
        session.execute(job.where(Job.id == due).values(state=State.RETRYING))
    assert asked() == {"worker-fast": 2, "worker-slow": 1}
    operate.pause("fast", by="test")
    assert asked() == {"worker-fast": 1, "worker-slow": 1}
    operate.move(slow, "fast", by="test", client=None)
    operate.resume("fast")
    assert asked() == {"worker-fast": 3, "worker-slow": 0}
