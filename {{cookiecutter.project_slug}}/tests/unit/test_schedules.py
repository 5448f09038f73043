"""What may be declared as a schedule, and when it is due: once, in the hour that comes twice and in that left out."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import service
from deploy.monitors.definitions import longest_gap
from service.queues import SCHEDULE
from service.schedules import Schedule


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"cron": "0 0 30 2 *"}, "expected cron to be like '15 3 * * *', got: '0 0 30 2 *'; Bad day-of-month"),
        ({"cron": "0 0 31 4,6 *"}, "got: '0 0 31 4,6 *'; Bad day-of-month"),
        ({"cron": "* * */20 * 1L"}, "got: '* * */20 * 1L'; Not five fields that ever meet"),
        ({"cron": "60 * * * *"}, "got: '60 * * * *'; Bad minute"),
        ({"cron": "0 3 * *"}, "got: '0 3 * *'; Not five fields"),
        ({"cron": "0 0 3 * * *"}, "got: '0 0 3 * * *'; Not five fields"),
        ({"cron": "@daily"}, "got: '@daily'"),
        ({"cron": ""}, "expected cron"),
        ({"timezone": "Mars/Olympus"}, "expected timezone to be like 'Europe/Berlin', got: 'Mars/Olympus'"),
        ({"timezone": "../etc/passwd"}, "expected timezone"),
        ({"timezone": ""}, "expected timezone"),
        ({"timezone": "Europe"}, "expected timezone"),
        ({"overlap": "maybe"}, "Input should be 'skip', 'queue' or 'allow'"),
        ({"expires": 0}, "greater than 0"),
        ({"expire": 60}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_no_schedule_is_refused_where_it_is_written(wrong: dict[str, Any], why: str) -> None:
    declared = {"task": "any", "cron": "15 3 * * *", **wrong}
    with pytest.raises(ValidationError, match=re.escape(why)):
        Schedule(**declared)


def test_every_name_is_one_that_the_api_takes() -> None:
    contract = yaml.safe_load(Path(service.__file__).with_name("openapi.yaml").read_text())
    pattern = contract["components"]["parameters"]["ScheduleName"]["schema"]["pattern"]
    assert all(re.match(pattern, name) and len(name) <= 63 for name in SCHEDULE)


@pytest.mark.parametrize(
    ("zone", "cron", "after", "due"),
    [
        ("UTC", "15 3 * * *", "2026-11-22T03:15", ["2026-11-23T03:15", "2026-11-24T03:15"]),
        ("Asia/Kolkata", "0 9 * * 1-5", "2026-11-20T03:30", ["2026-11-23T03:30", "2026-11-24T03:30"]),
        ("UTC", "0 0 29 2 *", "2026-11-22T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        # The hour that comes twice, from before it, from between the two, and from within the second.
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30", ["2026-10-26T01:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T01:10", ["2026-10-26T01:30"]),
        # The hour that is left out.
        ("Europe/Berlin", "30 2 * * *", "2027-03-28T00:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
        ("Europe/Berlin", "30 2 * * *", "2027-03-28T01:00", ["2027-03-29T00:30"]),
        # What comes every half hour comes with each that passes.
        ("Europe/Berlin", "*/30 * * * *", "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-25T01:00"]),
    ],
)
def test_when_it_is_due(zone: str, cron: str, after: str, due: list[str]) -> None:
    schedule = Schedule(task="any", cron=cron, timezone=zone)
    times = islice(schedule.times(datetime.fromisoformat(f"{after}Z")), len(due))
    assert [f"{moment:%Y-%m-%dT%H:%M}" for moment in times] == due


def test_a_year_of_minutes_leaves_none_out_and_has_none_twice() -> None:
    schedule = Schedule(task="any", cron="*/10 * * * *", timezone="America/St_Johns")
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    times = list(islice(schedule.times(begin), 365 * 144))
    assert times == [begin + timedelta(minutes=10 * (number + 1)) for number in range(365 * 144)]


def test_a_schedule_can_be_written_as_json() -> None:
    schedule = Schedule(task="any", cron="15 3 * * *", kwargs={"day": 1}, overlap="queue", expires=60)
    assert Schedule(**json.loads(schedule.model_dump_json())) == schedule


@pytest.mark.parametrize(
    ("line", "gap"),
    [
        ("* * * * *", timedelta(minutes=1)),
        ("15 3 * * *", timedelta(days=1)),
        ("0 8-18 * * 1-5", timedelta(hours=62)),
        ("0 0 1 * *", timedelta(days=31)),
    ],
)
def test_a_run_is_missed_after_the_longest_gap_of_its_line(line: str, gap: timedelta) -> None:
    assert timedelta(minutes=longest_gap(Schedule(task="any", cron=line))) == gap
