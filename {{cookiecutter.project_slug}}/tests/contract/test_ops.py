"""The operator's page: who may come in, what its buttons do, and what a forged form does."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from itsdangerous import TimestampSigner
from starlette.responses import Response

from service.api.tokens import digest, mint, read
from service.jobs import State, query, submit
from service.ops import session
from tests.contract.conftest import Make, Service, serving
from tests.support.page import Page, change
from tests.support.stack import Stack, until

NOBODY = "01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f"


class TestDoor:
    def test_is_closed(self, page: Page) -> None:
        """Without a session every page asks for a token, and says nothing else."""
        for path in ("/ops", "/ops/jobs", f"/ops/jobs/{NOBODY}", "/ops/dead-letters"):
            refused = page.get(path)
            assert (refused.status_code, 'name="token"' in refused.text) == (401, True)

    @pytest.mark.parametrize("name", ["anna", "reader"])
    def test_a_token_without_the_scope(self, page: Page, service: Service, name: str) -> None:
        """A token that may not do everything opens nothing."""
        refused = page.sign_in(service.tokens[name])
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)

    def test_a_hash_is_no_token(self, page: Page, service: Service) -> None:
        """What API_TOKENS holds of a token does not open the page."""
        assert page.sign_in(digest(service.tokens["operator"])).status_code == 401

    def test_the_cookie_is_for_this_page_alone(self, page: Page, service: Service) -> None:
        """Scripts, other sites and plain connections do not get it, and it ends."""
        given = page.sign_in(service.tokens["operator"]).headers["set-cookie"]
        for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/ops", "Max-Age=28800"):
            assert word in given
        assert service.tokens["operator"] not in given
        assert digest(service.tokens["operator"]) not in given

    def test_a_changed_cookie(self, inside: Page) -> None:
        """A cookie that is not as it was given is none."""
        name, stamp, signature = inside.cookie.split(".")
        for forged in (
            f"{name}.{stamp}.{signature[::-1]}",
            f"{name}.zzzzzz.{signature}",
            f"{name[:-1]}x.{stamp}",
            "ops=",
        ):
            inside.cookie = forged
            assert inside.get("/ops").status_code == 401

    @pytest.mark.parametrize(("age", "status"), [(8 * 3600 - 100, 200), (8 * 3600 + 100, 401)])
    def test_an_old_cookie(self, stores: Stack, monkeypatch: pytest.MonkeyPatch, age: int, status: int) -> None:
        """A cookie is good for eight hours, however long a browser keeps it."""
        _, entry = mint("ops", ["jobs:admin"])
        with serving(stores, API_TOKENS=entry) as (url, _):
            page, given, made_at = Page(url), Response(), int(time.time()) - age
            monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: made_at)
            session.begin(given, read(entry)[0][0])
            page.cookie = given.headers["set-cookie"].partition(";")[0]
            assert page.get("/ops").status_code == status

    def test_a_token_that_is_taken_away(self, stores: Stack, tmp_path: Path) -> None:
        """A session ends with its token, at once; two API processes know the same sessions."""
        (token, entry), (_, other) = mint("ops", ["jobs:admin"]), mint("ops", ["jobs:admin"])
        path = tmp_path / "tokens"
        path.write_text(f"{entry}\n")
        file = {"API_TOKENS_FILE": f"{path}"}
        with serving(stores, **file) as (url, _), serving(stores, **file) as (second, _):
            here, there = Page(url), Page(second)
            here.sign_in(token)
            there.cookie = here.cookie
            assert (here.get("/ops").status_code, there.get("/ops").status_code) == (200, 200)
            path.write_text(f"{other}\n\n")
            assert (here.get("/ops").status_code, there.get("/ops").status_code) == (401, 401)

    @pytest.mark.parametrize(
        "goal", ["https://elsewhere.example/ops/", "//elsewhere.example", "/ops//evil", "/v1/jobs"]
    )
    def test_leads_nowhere_else(self, page: Page, service: Service, goal: str) -> None:
        """After signing in one is on this page, whatever the form says."""
        assert page.sign_in(service.tokens["operator"], goal=goal).headers["location"] == "/ops"

    def test_a_link_from_elsewhere_is_followed_again(self, inside: Page) -> None:
        """A browser sends no cookie with a link of another site, so the page asks for the same address once more."""
        link = {"Sec-Fetch-Site": "cross-site"}
        bounced = inside.client.get("/ops/jobs?state=failed", headers=link)
        assert (bounced.status_code, bounced.headers["refresh"]) == (401, "0")
        assert inside.get("/ops/jobs?state=failed").status_code == 200
        # No other site is to have a text searched for.
        assert "refresh" not in inside.client.get("/ops/jobs?text=x", headers=link).headers
        stranger = inside.client.get("/ops/jobs", headers={"Sec-Fetch-Site": "same-origin"})
        assert (stranger.status_code, "refresh" in stranger.headers) == (401, False)
        assert "refresh" not in inside.client.post("/ops/queues/slow/pause", headers=link, data={}).headers

    def test_what_no_store_takes_is_refused_by_its_field(self, inside: Page) -> None:
        """It was an error of the store's driver, and 500."""
        for path in ("/ops/jobs?text=a%00b", "/ops/jobs?client=%00", "/ops?done=%00"):
            refused = inside.get(path)
            assert (refused.status_code, "to hold no null" in refused.text) == (400, True), path
        retried = inside.post("/ops/dead-letters/retry", task="trials.echo", error="a\0b")
        assert (retried.status_code, "to hold no null" in retried.text) == (400, True)

    def test_a_search_is_not_asked_for_again_and_again(self, inside: Page) -> None:
        """It reads the arguments of many jobs."""
        moves, searched = inside.get("/ops/jobs?state=failed").text, inside.get("/ops/jobs?text=x").text
        assert ("data-live" in moves, "data-live" in searched) == (True, False)

    def test_the_log_says_which_page(self, stores: Stack) -> None:
        """A line of the log names the page, and nothing of a path that is none."""
        _, entry = mint("ops", ["jobs:admin"])
        with serving(stores, API_TOKENS=entry) as (url, role):
            page = Page(url)
            for path in (f"/ops/jobs/{NOBODY}", "/ops/dead-letters", "/ops/static/style.css", "/ops/jobs/secret"):
                page.get(path)
            until(lambda: role.said('"/ops/jobs/…"') or role.said('"/ops/jobs/\\u2026"'))
            for path in (f"/ops/jobs/{NOBODY}", "/ops/dead-letters", "/ops/static/…"):
                assert role.said(f'"{path}"'), role.log.read_text()
            assert not role.said("secret")

    def test_leads_to_where_one_wanted(self, page: Page, service: Service) -> None:
        """A link to a job is followed after signing in."""
        answer = page.sign_in(service.tokens["operator"], goal="/ops/jobs?state=failed")
        assert answer.headers["location"] == "/ops/jobs?state=failed"


class TestForms:
    @pytest.mark.parametrize("act", ["cancel", "retry", "discard", "move"])
    def test_a_forged_form(self, inside: Page, job: Make, act: str) -> None:
        """A form without the session's key, or from another site, does nothing."""
        job_id = job()
        for forged in (
            inside.post(f"/ops/jobs/{job_id}/{act}", key="x", queue="fast"),
            inside.post(f"/ops/jobs/{job_id}/{act}", {"Sec-Fetch-Site": "cross-site"}, queue="fast"),
        ):
            assert forged.status_code == 403
        assert query.get(job_id, None).state is State.QUEUED
        assert len(query.events(job_id, None)) == 1

    def test_a_get_does_nothing(self, inside: Page, job: Make) -> None:
        """Following a link changes nothing."""
        job_id = job()
        assert inside.get(f"/ops/jobs/{job_id}/cancel").status_code == 404
        assert query.get(job_id, None).state is State.QUEUED

    def test_cancel_retry_move(self, inside: Page, job: Make) -> None:
        """A job is mended by buttons; each act is in its history with who did it."""
        job_id = job()
        for act in ("move", "cancel", "retry"):
            assert f"/ops/jobs/{job_id}/{act}" in inside.get(f"/ops/jobs/{job_id}").text
            done = inside.post(f"/ops/jobs/{job_id}/{act}", queue="fast")
            assert (done.status_code, done.headers["location"]) == (303, f"/ops/jobs/{job_id}?done={act}")
            assert 'role="status"' in inside.get(done.headers["location"]).text
        row = query.get(job_id, None)
        assert (row.state, row.queue) == (State.QUEUED, "fast")
        assert [event.by for event in query.events(job_id, None)] == ["shop", "ops", "ops", "ops"]

    def test_redeliver(self, inside: Page) -> None:
        """A receiver is told again, where a job has one and has ended."""
        row = submit("trials.sleep", {"seconds": 60}, client="shop", callback_url="http://127.0.0.1:9/hook")
        again = f"/ops/jobs/{row.id}/redeliver"
        assert again not in inside.get(f"/ops/jobs/{row.id}").text
        inside.post(f"/ops/jobs/{row.id}/cancel")
        assert again in inside.get(f"/ops/jobs/{row.id}").text
        assert inside.post(again).headers["location"] == f"/ops/jobs/{row.id}?done=redeliver"
        last = query.events(row.id, None)[-1]
        assert (last.event, last.by) == ("redelivered by hand", "ops")
        assert inside.post(again).status_code == 429

    def test_discard_and_retry_all(self, inside: Page, job: Make) -> None:
        """Dead letters are shown by task and error, and queued again together."""
        letters = [job() for _ in range(3)]
        for job_id in letters:
            change(job_id, state=State.FAILED, error_type="Odd<b>Error", error_message="x", ended_at=datetime.now(UTC))
        assert inside.post(f"/ops/jobs/{letters[0]}/discard").status_code == 303
        assert "2 \u00d7 " in inside.get("/ops/dead-letters").text
        done = inside.post("/ops/dead-letters/retry", task="trials.sleep", error="Odd<b>Error")
        assert "2 queued again" in inside.get(done.headers["location"]).text
        assert [query.get(job_id, None).state.value for job_id in letters] == ["cancelled", "queued", "queued"]

    def test_pause_and_resume(self, inside: Page) -> None:
        """A queue is paused and resumed, and the page says so."""
        assert inside.post("/ops/queues/slow/pause").status_code == 303
        assert "Queue slow is paused" in inside.get("/ops").text
        assert inside.post("/ops/queues/slow/resume").status_code == 303
        assert "Queue slow is paused" not in inside.get("/ops").text
        assert inside.post("/ops/queues/nowhere/pause").status_code == 404

    def test_what_vanished_or_changed_meanwhile(self, inside: Page, job: Make) -> None:
        """A job that was deleted, or has ended, between the page and the click is said to be so."""
        assert inside.post(f"/ops/jobs/{NOBODY}/cancel").status_code == 404
        job_id = job()
        inside.post(f"/ops/jobs/{job_id}/cancel")
        late = inside.post(f"/ops/jobs/{job_id}/cancel")
        assert (late.status_code, "expected a job to cancel" in late.text) == (409, True)

    def test_a_large_form(self, inside: Page) -> None:
        """No form is large."""
        assert inside.post("/ops/dead-letters/retry", task="x" * 20_000).status_code == 413
