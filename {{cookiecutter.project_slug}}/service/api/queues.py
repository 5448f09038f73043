"""Queues: what waits, who works, and whether they may."""

from service import view
from service.api.answer import Answer, answer
from service.jobs import operate, query


def index() -> Answer:
    """Show every queue."""
    return answer(view.queues(query.queues(), query.alive("beat")))


def pause(name: str, user: str) -> Answer:
    """Let the queue's jobs wait."""
    operate.pause(name, by=user)
    return _show(name)


def resume(name: str) -> Answer:
    """Let them run again."""
    operate.resume(name)
    return _show(name)


def _show(name: str) -> Answer:
    return answer(next(view.queue(status) for status in query.queues() if status.name == name))
