"""Schedules: what is due by the clock, whether it may, and a run at once."""

from service import view
from service.api.answer import Answer, answer
from service.jobs.shapes import schedules


def index() -> Answer:
    """Show every schedule."""
    return answer({"schedules": [view.schedule(each) for each in schedules.statuses()]})


def pause(schedule: str, user: str) -> Answer:
    """Submit no more runs of it."""
    schedules.pause(schedule, by=user)
    return answer(view.schedule(schedules.status(schedule)))


def resume(schedule: str, user: str) -> Answer:
    """Submit its runs again."""
    schedules.resume(schedule, by=user)
    return answer(view.schedule(schedules.status(schedule)))


def fire(schedule: str, user: str) -> Answer:
    """Submit a run now."""
    row = schedules.fire(schedule, by=user)
    return answer(view.job(row), 202, {"Location": f"/v1/jobs/{row.id}"})
