"""The only publisher: a message says that a job may be ready, and losing it delays the job but cannot lose it.

`ring` hands the message to a thread of its own, so that no request waits for a broker; the reconciler publishes itself.
"""

import os
import threading
import time
from collections import deque
from typing import Any

import structlog
from celery import Celery
from kombu import Connection, Producer, Queue
from kombu.exceptions import ChannelError

from service import NAME
from service.config import settings
from service.database import fork_gate
from service.jobs.model import Job
from service.observe import metrics

log = structlog.get_logger()

# Seconds: to connect or to get one answer from the broker, and between two tries while it is down.
BROKER_TIMEOUT = 0.5
RETRY_SECONDS = 1.0

# What every message is: of a row, without a result, and sent once.
DOORBELL: dict[str, Any] = {"headers": {"durable": True}, "ignore_result": True, "retry": False}

# Doorbells kept while the broker is down; the reconciler rings for what falls off.
BACKLOG = 10_000


def broker_queue(name: str) -> Queue:
    """The broker's queue for the policy's queue `name`; it carries the service's name, since brokers are shared."""
    return Queue(f"{NAME}.{name}", routing_key=f"{NAME}.{name}", exchange="", durable=True)


class Bell:
    """One connection to the broker that publishes doorbells; not for sharing between threads."""

    def __init__(self) -> None:
        self._app = Celery(NAME, broker=settings().broker_url.get_secret_value(), set_as_current=False)
        self._app.conf.update(task_ignore_result=True, task_serializer="json", accept_content=["json"])
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def publish(self, job_id: str, task: str, queue: str, delay: float = 0.0) -> None:
        """Put one message on the broker within about a second.

        Raises:
            Exception: whatever the broker's client raises; the connection is dropped then.
        """
        try:
            producer = self._producer or self._connect()
            where = {"queue": broker_queue(queue), "producer": producer, "countdown": delay or None}
            self._app.send_task(task, task_id=job_id, **where, **DOORBELL)
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
            producer = self._producer or self._connect()
            return int(broker_queue(queue)(producer.channel).queue_declare(passive=True).message_count)
        except ChannelError:
            # To Redis an empty queue is none; AMQP closes the channel over it.
            self.close()
            return 0
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go without a word to a broker that may not answer."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.collect(socket_timeout=BROKER_TIMEOUT)

    def _connect(self) -> Producer:
        options = {"socket_connect_timeout": BROKER_TIMEOUT, "socket_timeout": BROKER_TIMEOUT, "max_retries": 0}
        self._connection = self._app.connection_for_write(connect_timeout=BROKER_TIMEOUT, transport_options=options)
        # The default channel alone connects with these options; any other waits two seconds and tries again.
        self._producer = self._app.amqp.Producer(self._connection.default_channel)
        return self._producer


class Ringer:
    """A thread that publishes what `ring` hands it, and keeps it while the broker is down."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str, str, float]] = deque(maxlen=BACKLOG)
        self._filled = threading.Condition()
        self._idle = threading.Event()
        threading.Thread(target=self._run, name="doorbell", daemon=True).start()

    def ring(self, row: Job, delay: float) -> None:
        """Leave the message to the thread."""
        with self._filled:
            self._idle.clear()
            self._waiting.append((row.id, row.task, row.queue, delay))
            self._filled.notify()

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is left to publish; gives whether that came to pass."""
        return self._idle.wait(seconds)

    def _run(self) -> None:
        # A process forked in the middle of a publish inherits locks that nobody will open, and does no work.
        with fork_gate:
            bell, down = Bell(), False
        # One that was forgotten must not hold the gate over a broker that is gone.
        while _ringer is None or _ringer is self:
            with self._filled:
                while not self._waiting:
                    self._idle.set()
                    self._filled.wait()
                message = self._waiting.popleft()
            try:
                with fork_gate:
                    bell.publish(*message)
                down = False
            except Exception as error:
                if not down:
                    log.warning("broker unreachable, jobs are accepted and wait", error=type(error).__name__)
                down = True
                self._waiting.appendleft(message)
                time.sleep(RETRY_SECONDS)


_ringer: Ringer | None = None
_lock = threading.Lock()


def ring(row: Job, delay: float = 0.0) -> None:
    """Say that the job may be ready in `delay` seconds, without waiting for the broker.

    A delay is held in a worker's memory, so it is for waits shorter than the reconciler's interval.
    """
    global _ringer
    with _lock:
        _ringer = _ringer or Ringer()
    _ringer.ring(row, delay)


def flush(seconds: float) -> bool:
    """Wait until what was rung is published, for a process that is about to end; gives whether all of it was."""
    return _ringer is None or _ringer.flush(seconds)


def forget() -> None:
    """Begin without a thread: a forked child has none of its parent's, and a test has a broker of its own."""
    global _ringer, _lock
    _ringer, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=forget)
