"""The books: what must be true of every accepted job and of every effect once the dust has settled."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Uuid, column, exists, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from service import database
from service.database import now, standalone
from service.jobs import Job, State
from service.jobs.model import ENDED, WAITING, Event
from tests.soak import shapes
from tests.soak.doors import CLIENT
from tests.soak.load import Load
from tests.support.effects import EFFECTS

# The events that end a job, and those that end an attempt.
JOB_ENDS = {"succeeded", "failed", "cancelled", "expired"}
ATTEMPT_ENDS = {"succeeded", "failed", "cancelled", "retrying", "crashed", "lost", "overdue", "handed back"}

# Whose tasks write one effect.
EFFECTIVE = ("chores.", "rounds.carry")

# Dead letters that the faults themselves make, by budget: so often was its process or its worker killed; and what
# the history says of a process that was killed, and did not end over an error of the service's own.
BY_BUDGET = {"poison", "lost"}
KILLED = "signal 9"


@dataclass(frozen=True)
class Book:
    """One thing that must hold: of how many, the sentences that say where it does not, and what is told apart."""

    title: str
    total: int
    faults: Sequence[str]
    apart: Sequence[str] = field(default_factory=list)


class Books:
    """Everything that the store holds after a soak, read once."""

    def __init__(self, load: Load) -> None:
        self.load = load
        with standalone() as session:
            self.jobs = {row.id: row for row in session.scalars(select(Job))}
            self.due = set(session.scalars(select(Job.id).where(Job.state.in_(WAITING), Job.run_at <= now())))
            self.effects = session.execute(select(EFFECTS.c.job_id, EFFECTS.c.attempt)).all()
            self.events: dict[str, list[Event]] = defaultdict(list)
            for event in session.scalars(select(Event).order_by(Event.id)):
                self.events[event.job_id].append(event)

    def all(self) -> Iterator[Book]:
        """Every book that the store alone can balance."""
        yield self._accepted()
        yield self._ended()
        yield self._as_wanted()
        yield self._attempts()
        yield self._effects()
        yield self._reports()
        yield self._steps()
        yield self._on_time()
        yield self._stuck()
        for shape in shapes.found().values():
            yield from shape.books(self)

    def _accepted(self) -> Book:
        load = self.load
        faults = list(load.faults)
        mine = [row for row in self.jobs.values() if row.client == CLIENT and row.idempotency_key]
        keys = Counter(row.idempotency_key for row in mine)
        faults += [
            f"job {entry.job_id} ({entry.order.kind}) was accepted, and is gone"
            for entry in load.accepted
            if entry.job_id not in self.jobs
        ]
        faults += [f"key {key} made {count} jobs" for key, count in keys.items() if count > 1]
        known = {entry.order.key for entry in load.accepted} | {order.key for order in load.given_up}
        faults += [f"key {key} has a job, and nobody asked for it" for key in keys if key not in known]
        apart = [f"order {order.key} was never accepted; {keys[order.key]} job of it" for order in load.given_up]
        return Book("accepted is there, once for each key", len(load.accepted), faults, apart)

    def _ended(self) -> Book:
        faults = []
        for row in self.jobs.values():
            ends = [event.event for event in self.events[row.id] if event.event in JOB_ENDS]
            if row.state not in ENDED or len(ends) != 1:
                faults.append(f"job {row.id} ({row.task}) is {row.state}, and ended as: {', '.join(ends) or 'never'}")
        return Book("every job ended exactly once", len(self.jobs), faults)

    def _as_wanted(self) -> Book:
        faults: list[str] = []
        apart: list[str] = []
        for entry in self.load.accepted:
            row = self.jobs.get(entry.job_id)
            if row is not None and row.state in ENDED and row.state not in entry.order.ends:
                crashes = [event.message or "" for event in self.events[row.id] if event.event == "crashed"]
                kept = row.error_type in BY_BUDGET and all(KILLED in message for message in crashes)
                said = f"job {row.id} ({entry.order.kind}) {row.state}: {row.error_type}: {row.error_message}"
                (apart if kept else faults).append(said)
        return Book("ended as it should", len(self.load.accepted), faults, apart)

    def _attempts(self) -> Book:
        faults = []
        for row in self.jobs.values():
            numbers = [event.attempt for event in self.events[row.id] if event.event == "started"]
            if numbers != list(range(1, row.attempt + 1)):
                faults.append(f"job {row.id}: expected attempts 1 to {row.attempt} in its history, got: {numbers}")
            # What a client cancelled while it waited had no attempt to end.
            history = [event for event in self.events[row.id] if event.by != CLIENT]
            ends = Counter(event.attempt for event in history if event.event in ATTEMPT_ENDS)
            twice = [number for number, count in ends.items() if count > 1]
            if twice:
                faults.append(f"job {row.id}: expected one end of each attempt, got: two of attempt {twice}")
        return Book("attempts are numbered, and end once", sum(row.attempt for row in self.jobs.values()), faults)

    def _effects(self) -> Book:
        found: dict[str, list[int]] = defaultdict(list)
        for job_id, attempt in self.effects:
            found[job_id].append(attempt)
        faults = []
        for row in self.jobs.values():
            wanted = [row.attempt] if row.state is State.SUCCEEDED and row.task.startswith(EFFECTIVE) else []
            if found[row.id] != wanted:
                faults.append(f"job {row.id} ({row.task}) {row.state}: expected effects {wanted}, got: {found[row.id]}")
        faults += [f"an effect of job {job_id}, which is not there" for job_id in found if job_id not in self.jobs]
        return Book("effects: one of what succeeded, else none", len(self.effects), faults)

    def _reports(self) -> Book:
        """The example's own effect, as long as the service has it."""
        jobs = {row.id: row.state for row in self.jobs.values() if row.task == "reports.export"}
        reports: set[str] = set()
        if inspect(database.engine()).has_table("reports"):
            job_ids = select(column("job_id", Uuid(as_uuid=False))).select_from(table("reports"))
            with standalone() as session:
                reports = set(session.scalars(job_ids))
        faults = [
            f"job {job_id} {state}: expected {state is State.SUCCEEDED:d} report, got: {job_id in reports:d}"
            for job_id, state in jobs.items()
            if (state is State.SUCCEEDED) != (job_id in reports)
        ]
        return Book("reports: one of what succeeded, else none", len(reports), faults)

    def _steps(self) -> Book:
        firsts = [row for row in self.jobs.values() if row.task == "chores.first"]
        seconds = Counter(row.kwargs["after"] for row in self.jobs.values() if row.task == "chores.second")
        faults = [
            f"job {row.id} {row.state}: expected {row.state is State.SUCCEEDED:d} second step, got: {seconds[row.id]}"
            for row in firsts
            if seconds[row.id] != (row.state is State.SUCCEEDED)
        ]
        return Book("second steps: one after each first", len(firsts), faults)

    def _on_time(self) -> Book:
        scheduled = [entry for entry in self.load.accepted if entry.order.run_at is not None]
        faults = []
        for entry in scheduled:
            began = [event.at for event in self.events[entry.job_id] if event.event == "started"]
            if entry.order.run_at and began and began[0] < entry.order.run_at:
                early = (entry.order.run_at - began[0]).total_seconds()
                faults.append(f"job {entry.job_id} began {early:.3f} s before its run_at")
        return Book("scheduled began no earlier", len(scheduled), faults)

    def _stuck(self) -> Book:
        stuck = [row for row in self.jobs.values() if row.state is State.RUNNING or row.id in self.due]
        return Book(
            "nothing is stuck",
            len(self.jobs),
            [f"job {row.id} ({row.task}) is {row.state}, worker {row.worker}, run_at {row.run_at}" for row in stuck],
        )


def unfinished() -> bool:
    """Whether there are jobs that have not ended, or none can tell."""
    try:
        with standalone() as session:
            return bool(session.scalar(select(exists().where(Job.state.not_in(ENDED)))))
    except SQLAlchemyError:
        return True
