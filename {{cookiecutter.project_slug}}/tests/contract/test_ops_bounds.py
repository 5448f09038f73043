"""What the operator's page may cost the API beside it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from starlette.types import Message, Receive, Scope, Send

from service.api.request import MAX_FIELDS
from service.database import engine, standalone
from service.jobs import State, submit
from service.ops import room, store
from service.ops.room import PAGES_AT_ONCE, Room
from tests.contract.conftest import Make
from tests.support.page import Page, change
from tests.support.stack import Stack, until

LOCKED_OUT = text("select count(*) from pg_locks where not granted and relation = 'jobs'::regclass")


def test_few_pages_are_made_at_once(stores: Stack, inside: Page) -> None:
    """Each takes a connection, of which the API keeps most for itself."""
    if not stores.environment["DATABASE_URL"].startswith("postgresql"):
        pytest.skip("SQLite lets nobody who reads wait")
    with ThreadPoolExecutor(3 * PAGES_AT_ONCE) as browsers, standalone() as onlooker:
        with engine().connect() as holder, holder.begin():
            holder.execute(text("lock table jobs in access exclusive mode"))
            asked = [browsers.submit(inside.get, "/ops/jobs?text=needle") for _ in range(3 * PAGES_AT_ONCE)]
            until(lambda: onlooker.scalar(LOCKED_OUT) >= PAGES_AT_ONCE)
            # One page more would be waiting at once: all were asked for together.
            seen = {onlooker.scalar(LOCKED_OUT) for _ in range(200)}
        answers = {browser.result().status_code for browser in asked}
    assert (max(seen), answers) == (PAGES_AT_ONCE, {200})


def test_a_text_is_looked_for_at_the_beginning_of_large_arguments(inside: Page) -> None:
    """And the page says so, where it finds nothing."""
    room_left = store.SEARCHED - len('{"value": "needle"}')
    near, far = ("x" * length + "needle" for length in (room_left, room_left + 100))
    made = [submit("trials.echo", {"value": value}, client="haystack") for value in (near, far)]
    rows, _ = store.listing(store.Wanted(client="haystack", text="needle"), None)
    assert [row.id for row in rows] == [made[0].id]
    assert f"the first {store.SEARCHED:,} characters" in inside.get("/ops/jobs?client=haystack&text=nowhere").text


def test_dead_letters_of_any_number_of_errors(inside: Page, job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The groups that most are in are shown, and that there are more."""
    made = [job() for _ in range(4)]
    for number, job_id in enumerate(made):
        change(job_id, state=State.FAILED, error_type=f"Error{number}", error_message="no")
    monkeypatch.setattr(store, "GROUPS", 3)
    groups, more = store.dead_letters()
    monkeypatch.undo()
    _, all_shown = store.dead_letters()
    for job_id in made:
        change(job_id, state=State.CANCELLED)
    assert (len(groups), more, all_shown) == (3, True, False)


@pytest.mark.parametrize("fields", ["&" * MAX_FIELDS, "%&" * 2000, "%" * 4000, "a=%", "a=\xe9"])
def test_a_form_that_takes_long_to_read_is_refused_unread(page: Page, fields: str) -> None:
    """Of thousands of fields, or of percent signs that encode nothing, each held the event loop for up to 30 ms."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = page.client.post("/ops/login", content=fields.encode("latin-1"), headers=form)
    assert (answer.status_code, "in the form" in answer.text or "the form to be" in answer.text) == (400, True)


def test_a_form_is_small_and_still_holds_where_to_go(page: Page) -> None:
    """What it encodes is read on the event loop."""
    large = page.client.post("/ops/login", data={"token": "%" * (room.MAX_FORM // 3)})
    assert (large.status_code, f"at most {room.MAX_FORM} bytes" in large.text) == (413, True)
    longest = "/ops?" + "&" * (room.MAX_GOAL - 5)
    assert page.client.post("/ops/login", data={"token": "no" * 100, "goal": longest}).status_code == 401


@pytest.mark.parametrize(("more", "kept"), [(0, True), (1, False)])
def test_a_page_of_a_long_address_is_not_gone_to(page: Page, more: int, kept: bool) -> None:
    """It would not fit into the form that asks for a token."""
    goal = "/ops/jobs?text=" + "x" * (room.MAX_GOAL - 15 + more)
    assert (goal in page.get(goal).text) is kept


def test_a_query_of_thousands_of_fields_is_refused_unread(page: Page) -> None:
    """Without a token, too."""
    assert page.get("/ops?" + "a&" * 1000).status_code == 400


def test_a_cookie_is_taken_as_it_stands(inside: Page) -> None:
    """Python before 3.11.10 and 3.12.6 takes half a second for a long one with quotes (CVE-2024-7592)."""
    name, _, value = inside.cookie.partition("=")
    cookies = {f"a=b; {name}={value}; c": 200, f'{name}="{value}"': 401}
    assert {each: inside.client.get("/ops", headers={"Cookie": each}).status_code for each in cookies} == cookies


def test_a_form_that_never_ends_is_refused(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon: the end of the API waits for it."""
    monkeypatch.setattr(room, "FORM_SECONDS", 0.2)
    said: list[Message] = []

    async def receive() -> Message:
        if not said and not begun:
            begun.append(True)
            return {"type": "http.request", "body": b"token=", "more_body": True}
        return await asyncio.Future()

    async def send(message: Message) -> None:
        said.append(message)

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError(scope)

    begun: list[bool] = []
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/ops/login", "headers": headers, "query_string": b""}
    asyncio.run(asyncio.wait_for(Room(elsewhere)(scope, receive, send), 10))
    assert said[0]["status"] == 408
