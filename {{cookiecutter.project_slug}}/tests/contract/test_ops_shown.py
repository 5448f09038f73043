"""What the operator's page shows: hostile text as text, jobs that are looked for, and what is down."""

import html
import re
import sqlite3
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import delete

from service.database import transaction
from service.jobs import State, submit
from service.jobs.model import Process
from tests.contract.conftest import Make, Service, opened
from tests.contract.test_health import Store, lost
from tests.support.page import Page, change, tags
from tests.support.stack import Stack, until

EVIL = "<script>alert(1)</script>\u202egnp.exe\u2066 '\" onload=x </pre></bdi></textarea>"


class TestShown:
    def test_hostile_text_is_text(self, inside: Page) -> None:
        """What a job brings along is shown as text, isolated in its direction, wherever it is."""
        row = submit("trials.echo", {"value": EVIL}, client="shop", idempotency_key=EVIL[:40])
        failed = {"state": State.FAILED, "ended_at": datetime.now(UTC)}
        change(
            row.id,
            error_type=EVIL,
            error_message=EVIL,
            traceback=EVIL,
            progress_done=1,
            progress_message=EVIL,
            **failed,
        )
        for path in (f"/ops/jobs/{row.id}", "/ops/jobs?state=failed", "/ops/dead-letters", "/ops"):
            answer = inside.get(path)
            assert answer.status_code == 200
            scripts = [attributes for tag, attributes in tags(answer.text) if tag == "script"]
            assert [set(attributes) for attributes in scripts] == [{"src", "defer"}]
            for place in re.finditer("\u202e", answer.text):
                before = answer.text[: place.start()]
                assert before.rfind("<bdi>") > before.rfind("</bdi>") or before.rfind('="') > before.rfind(">")
        change(row.id, state=State.CANCELLED)

    def test_huge_text_is_cut(self, inside: Page, job: Make) -> None:
        """A megabyte of error or result makes no page of a megabyte."""
        job_id = job()
        huge = {"error_message": "e" * 10**6, "traceback": "t" * 10**6, "result": "r" * 250_000}
        change(job_id, state=State.CANCELLED, error_type="E", ended_at=datetime.now(UTC), **huge)
        answer = inside.get(f"/ops/jobs/{job_id}")
        assert len(answer.content) < 100_000
        assert "more characters)" in answer.text

    def test_nothing_inline_nothing_from_elsewhere(self, inside: Page, job: Make) -> None:
        """The policy allows this page's own files alone, and the pages need no more."""
        for path in ("/ops", "/ops/jobs", f"/ops/jobs/{job()}", "/ops/dead-letters"):
            answer = inside.get(path)
            assert (
                "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
            )
            assert answer.headers["cache-control"] == "no-store"
            for tag, attributes in tags(answer.text):
                assert tag != "style"
                assert not [name for name in attributes if name == "style" or name.startswith("on")]
                addresses = [attributes[name] for name in ("src", "href", "action") if name in attributes]
                assert all(re.match(r"/ops\b|#", address) for address in addresses)

    @pytest.mark.parametrize(
        "question",
        ["state=sideways", "cursor=1", "since=yesterday", "until=2030-01-01", "cursor=%00", "since=0001-01-01T00:00"],
    )
    def test_questions_that_are_none(self, inside: Page, question: str) -> None:
        """A question that nobody could mean is refused, or has an empty answer; it is no fault."""
        assert inside.get(f"/ops/jobs?{question}").status_code in {200, 400}

    def test_paths_that_are_none(self, inside: Page) -> None:
        """There is nothing else below /ops."""
        for path in (
            "/ops/",
            "/ops/nowhere",
            "/ops/jobs/1",
            "/ops/static/../room.py",
            "/ops/static/room.py",
            "/ops//jobs",
        ):
            assert inside.get(path).status_code == 404

    def test_looks_for_jobs(self, inside: Page, job: Make) -> None:
        """Jobs are found by state, task, queue, client, time and text; an id leads to its job."""
        row = submit("trials.echo", {"value": "Q3/\u00fcber <all>"}, client="shop")
        late = "2099-01-01T00:00"
        for found, question in (
            (True, {"task": "trials.echo", "client": "shop", "queue": "fast", "state": "waiting"}),
            (True, {"text": "Q3/\u00fcber <ALL>"}),
            (True, {"since": "2020-01-01T00:00", "until": late}),
            (False, {"since": late}),
            (False, {"text": "Q3%ber"}),
            (False, {"client": "shops"}),
            (False, {"text": "Q3/\u00fcber", "state": "failed"}),
        ):
            answer = inside.get(f"/ops/jobs?{httpx.QueryParams(question)}")
            assert (f"/ops/jobs/{row.id}" in answer.text) is found, question
        assert inside.get(f"/ops/jobs?text={row.id}").headers["location"] == f"/ops/jobs/{row.id}"

    def test_says_what_holds_a_job(self, inside: Page, job: Make) -> None:
        """Of a job that waits its page says what for, and leads to where that is mended."""
        path = f"/ops/jobs/{job()}"
        assert "no worker of its queue is alive" in inside.get(path).text
        inside.post("/ops/queues/slow/pause")
        held = inside.get(path).text
        inside.post("/ops/queues/slow/resume")
        assert ("its queue is paused" in held, 'href="/ops#slow"' in held) == (True, True)

    def test_says_how_long_a_job_may_go_on(self, inside: Page, job: Make) -> None:
        """Of a job that runs its page says until when; of one that was cancelled, that it need not look."""
        job_id, began = job(), datetime(2030, 1, 31, 9, tzinfo=UTC)
        times = {"started_at": began, "deadline": began + timedelta(seconds=1830)}
        change(job_id, state=State.RUNNING, cancel_requested_at=began, **times)
        text = inside.get(f"/ops/jobs/{job_id}").text
        change(job_id, state=State.CANCELLED, ended_at=began)
        assert "2030-01-31 09:30:00 UTC" in text
        assert "killed after 20 s if it does not look" in text

    def test_a_row_that_no_worker_wrote(self, inside: Page, job: Make) -> None:
        """A running job that never started is odd, and no reason to show nothing."""
        change(job_id := job(), state=State.RUNNING)
        answers = [inside.get(path) for path in ("/ops", f"/ops/jobs/{job_id}", "/ops/jobs?state=running")]
        change(job_id, state=State.CANCELLED, ended_at=datetime.now(UTC))
        # The front page has room for those alone that have run longest.
        assert [answer.status_code for answer in answers] == [200] * 3
        assert [job_id in answer.text for answer in answers[1:]] == [True, True]

    def test_says_no_old_news(self, inside: Page, job: Make) -> None:
        """What was done to a job is said until the job has gone on."""
        path = f"/ops/jobs/{(job_id := job())}"
        assert "Queued again" in inside.get(f"{path}?done=retry").text
        change(job_id, state=State.CANCELLED, ended_at=datetime.now(UTC))
        assert "Queued again" not in inside.get(f"{path}?done=retry").text

    def test_says_what_poison_is(self, inside: Page, job: Make) -> None:
        """Who is about to retry what ended its own process is told what that comes to."""
        change(job_id := job(), state=State.FAILED, error_type="poison", ended_at=datetime.now(UTC))
        pages = [inside.get(path).text for path in (f"/ops/jobs/{job_id}", "/ops/dead-letters")]
        change(job_id, state=State.CANCELLED)
        assert ["Without a mend, a retry ends as many again" in text for text in pages] == [True, True]

    def test_a_worker_that_was_restarted(self, inside: Page) -> None:
        """A silent worker is a trouble, with where it is, until one of its kind has started since."""
        times = [datetime.now(UTC) - timedelta(seconds=seconds) for seconds in (900, 600, 0)]
        about = {"role": "worker", "queue": "slow", "version": "1", "host": "box", "pid": 7}
        stuck = Process(id="worker-slow@box:7:a", started_at=times[0], seen_at=times[1], **about)
        fresh = Process(id="worker-slow@box:8:b", started_at=times[2], seen_at=times[2], **about)
        texts = []
        for process in (stuck, fresh):
            with transaction() as session:
                session.add(process)
            texts.append(inside.get("/ops").text)
        with transaction() as session:
            session.execute(delete(Process))
        assert ["worker-slow@box:7:a is silent: restart it" in text for text in texts] == [True, False]
        assert "process 7 on" in texts[0]
        assert "another has started since" in texts[1]

    def test_turns_pages(self, inside: Page) -> None:
        """The pages of a long list neither repeat nor skip a job."""
        made = {submit("trials.echo", {"value": f"{n}"}, client="pager").id for n in range(120)}
        path, seen = "/ops/jobs?client=pager", []
        while path:
            text = inside.get(path).text
            seen += re.findall(r'title="([0-9a-f-]{36})"', text)
            older = re.search(r'href="([^"]+)" rel="next"', text)
            path = html.unescape(older[1]) if older else ""
        assert (len(seen), set(seen)) == (120, made)


def test_the_database_is_away_and_comes_back(stores: Stack) -> None:
    """While the database is away the page says so, and asks again by itself."""
    match = re.fullmatch(r"(postgresql://.*@[^:/]+):(\d+)(/.*)", stores.environment["DATABASE_URL"])
    if match is None:
        pytest.skip("SQLite is a file; a lock is what it has instead of an absence")
    with (
        Store(int(match[2])) as store,
        opened(stores, DATABASE_URL=f"{match[1]}:{store.port}{match[3]}") as service,
    ):
        page = Page(service.url)
        page.sign_in(service.tokens["operator"])
        assert page.get("/ops").status_code == 200
        with lost(store, "frozen"):
            until(lambda: page.get("/ops").status_code == 503)
            away = page.get("/ops/jobs")
            assert "The database does not answer" in away.text
            assert (away.headers["refresh"], away.headers["content-type"]) == ("3", "text/html; charset=utf-8")
        until(lambda: page.get("/ops").status_code == 200)


def test_the_database_is_locked(stores: Stack, inside: Page) -> None:
    """What SQLite's other writer keeps from being done is said to be not done; looking goes on."""
    url = stores.environment["DATABASE_URL"]
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL locks rows")
    key = inside.key()
    with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        try:
            refused = inside.post("/ops/queues/slow/pause", key=key)
            assert inside.get("/ops").status_code == 200
        finally:
            holder.execute("ROLLBACK")
    assert (refused.status_code, "refresh" in refused.headers) == (503, False)
    assert "The database does not answer" in refused.text


def test_the_broker_is_down(brokerless: Service) -> None:
    """While the broker is away the page says so, and works."""
    page = Page(brokerless.url)
    page.sign_in(brokerless.tokens["operator"])
    until(lambda: "The broker is down" in page.get("/ops").text)
    assert page.post("/ops/queues/slow/pause").status_code == 303
    assert page.post("/ops/queues/slow/resume").status_code == 303
