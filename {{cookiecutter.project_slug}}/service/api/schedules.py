"""Schedules: what is due by the clock, whether it may, and a run at once."""

from service import view
from service.api.answer import Answer, answer
from service.jobs.shapes import schedules


def index() -> Answer:
    """Show every schedule."""
    return answer({"schedules": [view.schedule(each) for each in schedules.statuses()]})


def pause(name: str, user: str) -> Answer:
    """Submit no more runs of it."""
    schedules.pause(name, by=user)
    return answer(view.schedule(schedules.status(name)))


def resume(name: str, user: str) -> Answer:
    """Submit its runs again."""
    schedules.resume(name, by=user)
    return answer(view.schedule(schedules.status(name)))


def fire(name: str, user: str) -> Answer:
    """Submit a run now."""
    row = schedules.fire(name, by=user)
    return answer(view.job(row), 202, {"Location": f"/v1/jobs/{row.id}"})
