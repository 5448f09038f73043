"""The only publisher: a message says that a job may be ready, and losing it delays the job but cannot lose it.

`ring` hands the message to a thread of its own, so that no request waits for a broker; the reconciler publishes itself.
"""

import os
import queue
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

import structlog
from kombu import Connection, Producer, Queue
from kombu.exceptions import ChannelError
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from service import NAME
from service.config import settings
from service.database import fork_gate, now
from service.jobs.model import Job, is_free, is_ready, is_waiting
from service.observe import committed, metrics
from service.queues import DOORBELLS_A_LOOK, MAX_DOORBELLS

log = structlog.get_logger()

# Seconds: to connect or to get one answer from the broker, and between two tries while it is down.
BROKER_TIMEOUT = 0.5
RETRY_SECONDS = 1.0

# What every message is: a call by Celery's protocol 2, of a row, without a result; sent once, and confirmed by RabbitMQ
# within so many seconds, since one that comes too late is sent again.
DOORBELL: dict[str, Any] = {"durable": True, "ignore_result": True, "lang": "py"}
ONCE: dict[str, Any] = {"retry": False, "confirm_timeout": 2.0, "serializer": "json"}

# What a queue of RabbitMQ is: kept by several brokers; what was delivered so often goes, since a doorbell may be lost.
QUORUM: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 20}

# Doorbells kept while the broker is down; the reconciler rings for what finds no room.
BACKLOG = 10_000


def broker_queue(name: str, delay: float = 0.0) -> Queue:
    """The broker's queue for the policy's queue `name`; it carries the service's name, since brokers are shared.

    What is delayed waits in RabbitMQ itself: a worker holds so many messages of a quorum queue and not one more.
    """
    where, about = f"{NAME}.{name}", dict[str, Any]()
    if settings().broker_url.get_secret_value().startswith("amqp"):
        where, about, later = f"{where}.ready", QUORUM, f"{where}.later"
        if delay:
            where, about = later, about | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": where}
    return Queue(where, routing_key=where, exchange="", queue_arguments=about)


class Bell:
    """One connection to the broker that publishes doorbells; not for sharing between threads."""

    def __init__(self) -> None:
        self._room: Counter[str] = Counter()

    def publish(self, job_id: str, task: str, queue: str, delay: float = 0.0) -> bool:
        """Put one message on the broker within about a second; False when its queue holds as many as it may.

        Raises:
            Exception: whatever the broker's client raises; the connection is dropped then.
        """
        try:
            if self._room[queue] <= 0:
                self._room[queue] = min(DOORBELLS_A_LOOK, MAX_DOORBELLS - self.depth(queue))
            self._room[queue] -= 1
            if self._room[queue] < 0:
                return False
            where = broker_queue(queue, delay)
            # Of Redis a worker fetches it at once, and holds it until its time; from RabbitMQ it comes in time.
            when = {"expiration": delay or None} if where.queue_arguments else {}
            eta = (datetime.now(UTC) + timedelta(seconds=delay)).isoformat() if delay and not when else None
            head = {"task": task, "id": job_id, "eta": eta, **DOORBELL}
            producer = Producer(self._connection, auto_declare=False)
            producer.publish([[], {}, {}], declare=[where], routing_key=where.name, headers=head, **when, **ONCE)
            return True
        except Exception:
            metrics.count("doorbell.failed")
            self.close()
            raise

    def depth(self, queue: str) -> int:
        """How many messages wait in the broker's queue.

        Raises:
            Exception: as for `publish`.
        """
        try:
            return int(broker_queue(queue)(self._connection.default_channel).queue_declare(passive=True).message_count)
        except Exception as error:
            self.close()
            # To Redis an empty queue is none; AMQP closes the channel over it.
            if isinstance(error, ChannelError):
                return 0
            raise

    def close(self) -> None:
        """Let the connection go without a word to a broker that may not answer."""
        # py-amqp alone would speak at the end. For others kombu's `collect` gives all new sockets of the process a
        # timeout, and where two threads do so at once it stays.
        (self._connection.collect if hasattr(self._connection.transport, "_collect") else self._connection.release)()
        del self._connection

    @cached_property
    def _connection(self) -> Connection:
        # Its default channel alone connects with these options; any other waits two seconds and tries again.
        names = ("socket_connect_timeout", "socket_timeout", "read_timeout", "write_timeout")
        how = dict.fromkeys(names, BROKER_TIMEOUT) | {"max_retries": 0, "confirm_publish": True}
        url = settings().broker_url.get_secret_value()
        return Connection(url, connect_timeout=BROKER_TIMEOUT, transport_options=how)


class Ringer:
    """A thread that publishes what is `waiting`, and keeps it while the broker is down."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[tuple[str, str, str, float]] = queue.Queue(BACKLOG)
        threading.Thread(target=self._run, name="doorbell", daemon=True).start()

    def _run(self) -> None:
        # A process forked in the middle of a publish inherits locks that nobody will open, and does no work.
        with fork_gate:
            bell, down = Bell(), False
        # One that was forgotten must neither hold the gate over a broker that is gone, nor ring what is the past's.
        message = self.waiting.get()
        while _ringer is self:
            try:
                with fork_gate:
                    bell.publish(*message)
                self.waiting.task_done()
                message, down = self.waiting.get(), False
            except Exception as error:
                if not down:
                    log.warning("broker unreachable, jobs are accepted and wait", error=type(error).__name__)
                down = True
                time.sleep(RETRY_SECONDS)


_ringer: Ringer | None = None
_lock = threading.Lock()


def ring(session: Session, row: Any, delay: float = 0.0) -> None:
    """Say, once this transaction is committed, that the job may be ready in `delay` seconds; no broker is waited for.

    A delay is held in a worker's memory, or in RabbitMQ behind others', so it is for waits shorter than the
    reconciler's interval.
    """
    committed.then(session, partial(_ring, row, delay))


def ring_first(session: Session, *which: ColumnElement[bool]) -> bool:
    """Let the waiting job that was submitted first of these run now; gives whether there is one."""
    oldest = select(Job).where(is_waiting, *which).order_by(Job.id).limit(1)
    row = session.scalar(oldest.with_for_update(skip_locked=True, key_share=True))
    if row is not None:
        row.run_at, row.rung_at, row.waiting_for = now(), now(), None
        ring(session, row)
    return row is not None


def ring_next(session: Session, row: Job) -> None:
    """Let the next one run that waits for this job's lock, which it has let go, or waits for no more."""
    if row.lock_key is not None:
        ring_first(session, Job.lock_key == row.lock_key, is_ready(), is_free)


def _ring(row: Any, delay: float) -> None:
    global _ringer
    with _lock:
        _ringer = _ringer or Ringer()
    with suppress(queue.Full):
        _ringer.waiting.put_nowait((row.id, row.task, row.queue, delay))


def flush(seconds: float) -> bool:
    """Wait until what was rung is published, for a process that is about to end; gives whether all of it was."""
    if _ringer is None:
        return True
    waiting = _ringer.waiting
    with waiting.all_tasks_done:
        return waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, seconds)


def forget() -> None:
    """Begin without a thread: a forked child has none of its parent's, and a test has a broker of its own."""
    global _ringer, _lock
    _ringer, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=forget)
