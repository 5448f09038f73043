"""The job as the task sees it: `self.job`."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from service import database
from service.errors import JobCancelled
from service.jobs import Job, State, attempts, submit
from service.jobs.ending import NO_ERROR, end, followed
from service.queues import PROGRESS_SECONDS


class RunningJob:
    """One attempt at a job. Its effects in the database and its success are committed together, or not at all."""

    def __init__(self, row: Job) -> None:
        self.row, self.id, self.attempt = row, row.id, row.attempt
        # Left by the runner, once the task has returned or raised: that commits its transaction, or rolls it back.
        self.effects = ExitStack()
        self._session: Session | None = None
        self._next: list[Callable[..., Job]] = []
        self._looked_at = float("-inf")

    def progress(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far the work is; written at most once a second, and not inside `transaction`.

        Raises:
            JobCancelled: somebody cancelled the job.
            AttemptLost: the job went on without this attempt.
        """
        if (self._may_look() or done == total) and attempts.progress(self.row, done, total, message):
            raise JobCancelled

    def log(self, message: str) -> None:
        """Add a line to the job's history, which keeps the last 100 of them and 8 KiB of each.

        Raises:
            AttemptLost: as for `progress`.
        """
        attempts.log(self.row, message)

    def check_cancelled(self) -> None:
        """Look whether to stop, once a second at most.

        Raises:
            JobCancelled, AttemptLost: as for `progress`.
        """
        if self._may_look() and attempts.asked_to_stop(self.row):
            raise JobCancelled

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose changes are committed with the job's success, once the task has returned.

        Open it last: on SQLite everybody else's writing waits for it.
        """
        if self._session is None:
            self._session = self.effects.enter_context(database.transaction())
        yield self._session

    def submit(self, name: str, kwargs: Mapping[str, Any], **options: Any) -> None:
        """Submit the next job with this one's success: both are committed, or neither.

        The options are those of `service.jobs.submit`: `run_at`, `unique_key`, `lock_key` and the others.
        """
        self._next.append(partial(submit, name, kwargs, client=self.row.client, **options))

    def succeed(self, result: Any) -> None:
        """Write the next jobs and the success, to be committed with the effects.

        Raises:
            AttemptLost: as for `progress`; nothing of this attempt is kept then.
        """
        alone = not (self._next or followed(self.row))
        session = self._session or self.effects.enter_context(database.transaction(single=alone))
        for order in self._next:
            order(session=session)
        end(session, self.row, State.SUCCEEDED, result=result, **NO_ERROR)

    def _may_look(self) -> bool:
        if self._session is not None or time.monotonic() - self._looked_at < PROGRESS_SECONDS:
            return False
        self._looked_at = time.monotonic()
        return True
