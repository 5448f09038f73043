"""`python -m deploy.monitors` and a server that answers as Datadog does: what it shows, changes, and leaves alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.monitors.definitions import MANAGED, monitors
from service import NAME
from tests.support.datadog import KEYS, Datadog

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COUNT = len(monitors())


@pytest.fixture
def datadog() -> Iterator[Datadog]:
    """An organisation that has nothing of ours, and a monitor and a dashboard of somebody else's."""
    with Datadog() as it:
        options = {"thresholds": {"critical": 1}}
        theirs = {"name": "theirs", "query": "avg(last_5m):avg:a{*} > 1", "tags": ["managed-by:them"]}
        it.monitors["7"] = {"id": 7, "type": "query alert", "message": "", "options": options, **theirs}
        it.dashboards["abc"] = {"id": "abc", "title": "theirs", "layout_type": "free", "widgets": []}
        yield it


def sync(datadog: Datadog, *words: str, fails: bool = False, **environment: str) -> str:
    """Run the command; gives what it said."""
    keys = {"DD_API_KEY": KEYS["dd-api-key"], "DD_APP_KEY": KEYS["dd-application-key"]}
    run = subprocess.run(
        [sys.executable, "-m", "deploy.monitors", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DD_SITE": datadog.url, **keys, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode == (1 if fails else 0), said
    assert not [key for key in KEYS.values() if key in said]
    assert "Traceback" not in said
    return said


def test_a_dry_run_shows_everything_and_changes_nothing(datadog: Datadog) -> None:
    said = sync(datadog)
    assert said.count("create monitor ") == COUNT
    assert f"create dashboard {NAME}: jobs" in said
    assert said.splitlines()[-1].startswith(f"{COUNT + 1} to do, nothing was changed")
    assert {call.split()[0] for call in datadog.calls} == {"GET"}


def test_what_is_applied_once_is_not_applied_again(datadog: Datadog) -> None:
    sync(datadog, "--apply")
    assert (len(datadog.monitors), len(datadog.dashboards)) == (COUNT + 1, 2)
    datadog.calls.clear()
    assert sync(datadog, "--apply") == sync(datadog) == "nothing to do\n"
    assert {call.split()[0] for call in datadog.calls} == {"GET"}


def test_what_was_changed_by_hand_is_shown_and_changed_back_in_place(datadog: Datadog) -> None:
    sync(datadog, "--apply")
    key, mine = next((key, each) for key, each in datadog.monitors.items() if each["name"].endswith("no-worker-fast"))
    mine["options"]["thresholds"]["critical"], wanted = 0, mine["query"]
    mine["query"] = mine["query"].replace("< 1", "< 0")
    said = sync(datadog)
    assert f"change monitor {NAME}: no-worker-fast\n  query: {mine['query']!r} -> {wanted!r}\n" in said
    assert "  options.thresholds.critical: 0.0 -> 1\n" in said
    datadog.calls.clear()
    sync(datadog, "--apply")
    assert datadog.writes == [f"PUT /api/v1/monitor/{key}"]
    assert datadog.monitors[key]["query"] == wanted


def test_what_is_ours_and_wanted_no_more_is_deleted_and_nothing_else(datadog: Datadog) -> None:
    sync(datadog, "--apply")
    mine = next(each for each in datadog.monitors.values() if MANAGED in each["tags"])
    # A queue that is gone, and a copy that a create left which was answered with 500.
    datadog.monitors["8"] = {**mine, "id": 8, "name": f"{NAME}: oldest-job-gone"}
    datadog.monitors["9"] = {**mine, "id": 9}
    datadog.dashboards["def"] = {**datadog.dashboards["abc"], "id": "def", "description": f"old {MANAGED}"}
    datadog.calls.clear()
    assert "delete monitor" in sync(datadog)
    assert not datadog.writes
    sync(datadog, "--apply")
    assert sorted(datadog.writes) == [
        "DELETE /api/v1/dashboard/def",
        "DELETE /api/v1/monitor/8",
        "DELETE /api/v1/monitor/9",
    ]
    assert {"7", "abc"} <= datadog.monitors.keys() | datadog.dashboards.keys()


def test_more_than_a_page_is_found_again(datadog: Datadog) -> None:
    sync(datadog, "--apply")
    mine = next(each for each in datadog.monitors.values() if MANAGED in each["tags"])
    for number in range(2000, 2150):
        datadog.monitors[f"{number}"] = {**mine, "id": number, "name": f"{NAME}: old {number}"}
    assert sync(datadog).count("delete monitor") == 150


@pytest.mark.parametrize("wrong", ["DD_API_KEY", "DD_APP_KEY"])
def test_wrong_keys_are_told_from_everything_else(datadog: Datadog, wrong: str) -> None:
    said = sync(datadog, "--apply", fails=True, **{wrong: "no-key-of-theirs"})
    assert f"expected {datadog.url} to let us in, got: 403; keys belong to one site (DD_SITE)" in said
    assert not datadog.writes
    assert "no-key-of-theirs" not in said


def test_missing_keys_are_named(datadog: Datadog) -> None:
    said = sync(datadog, fails=True, DD_API_KEY="", DD_APP_KEY="")
    assert said.startswith("expected DD_API_KEY and DD_APP_KEY to be set, got: nothing; ")
    assert not datadog.calls


def test_it_waits_when_datadog_says_not_now(datadog: Datadog) -> None:
    datadog.faults = [(429, {"X-RateLimit-Reset": "1"}), (503, {})]
    sync(datadog, "--apply")
    assert len(datadog.monitors) == COUNT + 1
    assert not datadog.faults


def test_a_definition_that_datadog_refuses_changes_nothing(datadog: Datadog) -> None:
    datadog.refuses = "no such function"
    said = sync(datadog, "--apply", fails=True)
    assert "expected Datadog to do as asked, got: 400 (no such function)" in said
    assert not datadog.writes


def test_a_word_that_it_does_not_know_is_refused(datadog: Datadog) -> None:
    assert "expected nothing, --apply or --json, got: --aply" in sync(datadog, "--aply", fails=True)
    assert not datadog.calls


def test_the_runbook_is_a_link_where_the_repository_is_known(datadog: Datadog) -> None:
    sync(datadog, "--apply", REPOSITORY_URL="https://git.example/team/desk.git")
    ours = [each for each in datadog.monitors.values() if MANAGED in each["tags"]]
    assert all("Runbook: https://git.example/team/desk/blob/HEAD/README.md#" in each["message"] for each in ours)
