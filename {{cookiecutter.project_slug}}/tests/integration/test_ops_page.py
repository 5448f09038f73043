"""The operator's page in a real browser: Debian's chromium, steered by Playwright; skipped where one is missing."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api.tokens import mint
from service.jobs import State, operate, query
from tests.support.stack import Stack, until

playwright = pytest.importorskip(
    "playwright.sync_api", reason="expected Playwright, got: none; install it: uv sync --group browser"
)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# The file axe.min.js of the npm package axe-core, where it is on this machine.
AXE = os.environ.get("AXE", "")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="expected chromium on PATH, got: none")

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def url(running: Stack) -> str:
    """An API beside the workers, and its token in the environment of the stack."""
    token, entry = mint("ops", ["jobs:admin"])
    role = running.start("api", API_TOKENS=entry, PORT="0")
    until(lambda: role.said('"api listening"'), seconds=60)
    lines = role.log.read_text().splitlines()
    running.environment["TOKEN"] = token
    (address,) = (json.loads(line)["address"] for line in lines if '"api listening"' in line)
    return str(address)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, running: Stack, url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page on which somebody has signed in; what the browser complains about fails the test."""
    context = browser.new_context(base_url=url, **getattr(request, "param", {}))
    made, complaints = context.new_page(), []
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    made.goto("/ops")
    made.get_by_label("Token").fill(running.environment["TOKEN"])
    made.keyboard.press("Enter")
    made.get_by_role("heading", name="Queues").wait_for()
    yield made
    context.close()
    assert not complaints


def test_progress_moves_and_the_job_is_cancelled_and_retried(running: Stack, page: Any) -> None:
    """What runs is watched without a reload, cancelled and queued again, and says who did it."""
    row = running.submit("trials.patient", seconds=60)
    until(lambda: running.job(row.id).progress_done)
    page.goto(f"/ops/jobs/{row.id}")
    page.evaluate("window.marked = true")
    seen = page.locator("progress").get_attribute("value")
    until(lambda: page.locator("progress").get_attribute("value") != seen)
    assert page.evaluate("window.marked")
    page.get_by_role("button", name="Cancel").click()
    page.locator(".state.cancelled").wait_for()
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("status").get_by_text("Queued again").wait_for()
    assert [event.by for event in query.events(row.id, None) if event.event == "retried by hand"] == ["ops"]
    operate.cancel(row.id, by="test", client=None)
    running.ended(row.id)


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_works_without_scripts(running: Stack, page: Any) -> None:
    """With JavaScript off a queue is paused and resumed, and a dead letter is found, read and discarded."""
    row = running.submit("trials.broken")
    running.ended(row.id)
    page.get_by_role("button", name="Pause slow").click()
    page.get_by_role("link", name="Queue slow is paused").wait_for()
    page.get_by_role("button", name="Resume slow").click()
    page.get_by_role("link", name="Dead letters").first.click()
    page.get_by_role("link", name="job", exact=True).first.click()
    page.get_by_text("the data are wrong").first.wait_for()
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("status").get_by_text("Discarded").wait_for()
    assert running.job(row.id).state is State.CANCELLED


def test_by_keyboard(running: Stack, page: Any) -> None:
    """Whoever has no mouse reaches the content, and every button says where it is."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Pause fast":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Resume fast").click()


@pytest.mark.skipif(not AXE, reason="expected AXE to name axe.min.js (npm install axe-core), got: nothing")
@pytest.mark.parametrize(
    "page", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": PHONE}], indirect=True, ids=str
)
def test_is_accessible(running: Stack, page: Any) -> None:
    """axe-core finds no violation on any page, light or dark, wide or on a phone, which shows it whole."""
    failed, waits = running.submit("trials.broken"), running.submit("trials.sleep", seconds=0)
    running.ended(failed.id, waits.id)
    for path in (
        "/ops",
        "/ops/jobs",
        "/ops/dead-letters",
        f"/ops/jobs/{failed.id}",
        f"/ops/jobs/{waits.id}",
        "/ops/no",
    ):
        page.goto(path)
        page.evaluate(Path(AXE).read_text())
        assert not page.evaluate("axe.run()")["violations"], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
