"""A browser without scripts, for the operator's page."""

import html
import re
from html.parser import HTMLParser

import httpx
from sqlalchemy import update

from service.database import transaction
from service.jobs import Job


class Page:
    """A browser without scripts: it keeps the cookie, and sends the forms that it is shown."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=10)
        self.cookie = ""

    def sign_in(self, token: str, **fields: str) -> httpx.Response:
        """Exchange a token; gives the answer."""
        answer = self.client.post("/ops/login", data={"token": token, **fields})
        self.cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        # The client would keep the cookie to itself: it is for HTTPS, and for a browser on this machine.
        self.client.cookies.clear()
        return answer

    def get(self, path: str) -> httpx.Response:
        """Look at a page."""
        return self.client.get(path, headers={"Cookie": self.cookie})

    def key(self) -> str:
        """What the forms of the first page carry."""
        found = re.search(r'name="key" value="([^"]+)"', self.get("/ops").text)
        assert found
        return html.unescape(found[1])

    def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> httpx.Response:
        """Send a form."""
        form = {"key": self.key()} | form
        return self.client.post(path, data=form, headers={"Cookie": self.cookie, **(headers or {})})


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def tags(text: str) -> list[tuple[str, dict[str, str]]]:
    """The tags as a browser would see them."""
    parser = Tags()
    parser.feed(text)
    return parser.found


def change(job_id: str, **values: object) -> None:
    """Let a job be as if a worker had written this."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))
