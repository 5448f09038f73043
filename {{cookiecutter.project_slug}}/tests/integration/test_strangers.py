"""Numbers of processes that stand in a row: a worker signals its own, and no other."""

import subprocess
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import update

from service import database
from service.jobs import Job, operate
from service.jobs.model import Process
from tests.support.stack import Stack, until


def test_a_number_in_a_row_kills_nobody_but_the_workers_own_children(stack: Stack) -> None:
    """Whoever can write the row could have any process of the worker's user killed."""
    worker = stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=600)
    until(lambda: stack.attempts(row.id))
    name = stack.job(row.id).worker or ""

    def heard_since(due: datetime) -> bool:
        found = stack.get(Process, name)
        return found is not None and found.seen_at > due

    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        for pid in (stranger.pid, worker.pid):
            with database.transaction() as session:
                about = {"pid": pid, "cancel_requested_at": database.now(-3600)}
                session.execute(update(Job).where(Job.id == row.id).values(about))
            operate.ask_stack(row.id, by="ops", client=None)
            due = database.present() + timedelta(seconds=3)
            until(partial(heard_since, due))
            assert (stranger.poll(), worker.process.poll()) == (None, None)
        stranger.kill()
