"""Tokens from making one to taking it back, with the real commands and the real API."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.api.tokens import digest, mint
from tests.contract.conftest import serving
from tests.support.stack import ROOT, Stack, until

pytestmark = pytest.mark.slow

TODAY = datetime.now(UTC).date()

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(stores: Stack) -> Command:
    """Run one command of the operator's."""

    def run(*words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", "tokens", *words],
            cwd=ROOT, env=stores.environment | environment, input=given, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return run


@pytest.fixture
def made(command: Command) -> Callable[..., tuple[str, str]]:
    """Make a token by the command; gives it and its entry."""

    def make(*words: str) -> tuple[str, str]:
        done = json.loads(command("new", "--client", "shop", "--scope", "jobs:read", "--json", *words).stdout)
        return done["token"], done["entry"]

    return make


def opens(client: httpx.Client, token: str) -> bool:
    """Whether the token lets one in."""
    return client.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 200


class TestCheck:
    def test_lists_the_entries(self, command: Command, tmp_path: Path) -> None:
        """Each is told with its client, scopes, name, days left and where it is from; of its hash, the beginning."""
        _, plain = mint("shop", ["jobs:read", "jobs:write"])
        _, named = mint("crm", ["jobs:admin"], name="2026", expires=TODAY + timedelta(days=100))
        (tmp_path / "tokens").write_text(named)
        checked = command("check", "--json", API_TOKENS=plain, API_TOKENS_FILE=str(tmp_path / "tokens"))
        assert (checked.returncode, checked.stderr) == (0, "")
        assert json.loads(checked.stdout)["entries"] == [
            {
                "client": "shop", "name": None, "scopes": "jobs:read jobs:write", "expires": None, "days_left": None,
                "hash": f"{plain.split('/')[2][:8]}…", "from": "API_TOKENS", "standing": "good",
            },
            {
                "client": "crm", "name": "2026", "scopes": "jobs:admin", "expires": str(TODAY + timedelta(days=100)),
                "days_left": 100, "hash": f"{named.split('/')[2][:8]}…", "from": "API_TOKENS_FILE", "standing": "good",
            },
        ]  # fmt: skip

    @pytest.mark.parametrize(("days", "standing"), [(-1, "expired"), (0, "expires soon"), (14, "expires soon")])
    def test_warns_before_it_is_too_late(self, command: Command, days: int, standing: str) -> None:
        """What has expired or will within two weeks is said, and is no failure."""
        _, entry = mint("shop", ["jobs:read"], name="ci", expires=TODAY + timedelta(days=days))
        checked = command("check", API_TOKENS=entry)
        assert checked.returncode == 0
        assert f"shop's token ci {standing}" in checked.stderr
        assert "tokens new --client" in checked.stderr

    def test_names_every_wrong_entry(self, command: Command, tmp_path: Path) -> None:
        """All that is wrong in both places is said at once, by position and without repeating it."""
        (tmp_path / "tokens").write_text(f"{mint('shop', ['jobs:read'])[1]}\nhunter2\n")
        wrong = {"API_TOKENS": "a/b/hunter2,c", "API_TOKENS_FILE": str(tmp_path / "tokens")}
        checked = command("check", **wrong)
        assert (checked.returncode, checked.stdout) == (1, "")
        for fault in ("API_TOKENS: entry 1: ", "API_TOKENS: entry 2: ", "API_TOKENS_FILE: entry 2: "):
            assert fault in checked.stderr
        assert "hunter2" not in checked.stderr

    def test_tells_whose_a_token_is(self, command: Command, made: Callable[..., tuple[str, str]]) -> None:
        """A token from standard input is told with its client and scopes."""
        (token, entry), (_, other) = made("--name", "ci"), made()
        checked = command("check", "--token", "-", "--json", given=f"{token}\n", API_TOKENS=f"{other},{entry}")
        row = json.loads(checked.stdout)
        assert (checked.returncode, row["client"], row["name"], row["scopes"]) == (0, "shop", "ci", "jobs:read")

    def test_refuses_a_token_that_is_not_valid(self, command: Command) -> None:
        """One that is unknown or expired is exit code 1; one on the command line, where others see it, is not taken."""
        token, entry = mint("shop", ["jobs:read"], expires=TODAY - timedelta(days=1))
        expired = command("check", "--token", "-", given=token, API_TOKENS=entry)
        unknown = command("check", "--token", "-", given=f"{token}x", API_TOKENS=entry)
        assert (expired.returncode, unknown.returncode) == (1, 1)
        assert "expired on" in expired.stderr
        assert "without an entry" in unknown.stderr
        assert command("check", "--token", token, API_TOKENS=entry).returncode == 2
        for said in (expired, unknown):
            assert token not in said.stdout + said.stderr

    def test_nothing_where_others_would_call(self, command: Command) -> None:
        """No entry at all is a fault in production, and said with the remedy."""
        checked = command("check", ENVIRONMENT="production", DATABASE_URL="postgresql://127.0.0.1/x")
        assert checked.returncode == 1
        assert "tokens new --client" in checked.stderr


class TestRotation:
    def test_without_downtime(self, stores: Stack, made: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
        """A caller that changes over while both tokens are there is never refused; the old one ends with its entry."""
        (old, old_entry), (new, new_entry) = made("--name", "old"), made("--name", "new")
        path, stop = tmp_path / "tokens", threading.Event()
        path.write_text(old_entry)
        in_use, answers = [old], []
        with serving(stores, API_TOKENS_FILE=str(path)) as (url, _), httpx.Client(base_url=url) as client:

            def call() -> None:
                with httpx.Client(base_url=url) as caller:
                    while not stop.is_set():
                        answers.append(opens(caller, in_use[0]))

            calling = threading.Thread(target=call)
            calling.start()
            for content in (f"{old_entry}\n{new_entry}", new_entry):
                replaced = path.with_suffix(".new")
                replaced.write_text(content)
                replaced.rename(path)
                assert opens(client, new)
                in_use[0] = new
                before = len(answers)
                until(lambda before=before: len(answers) > before + 10)  # type: ignore[misc]
            stop.set()
            calling.join()
            assert not opens(client, old)
        assert all(answers)

    def test_of_a_volume_of_kubernetes(self, stores: Stack, tmp_path: Path) -> None:
        """A mounted file changes by a link to its folder that is pointed elsewhere."""
        (old, old_entry), (new, new_entry) = mint("shop", ["jobs:read"]), mint("shop", ["jobs:read"])
        for folder, entry in (("..1", old_entry), ("..2", new_entry)):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "tokens").write_text(entry)
        (tmp_path / "..data").symlink_to("..1")
        (tmp_path / "tokens").symlink_to("..data/tokens")
        with (
            serving(stores, API_TOKENS_FILE=str(tmp_path / "tokens")) as (url, _),
            httpx.Client(base_url=url) as client,
        ):
            assert (opens(client, old), opens(client, new)) == (True, False)
            (tmp_path / "..next").symlink_to("..2")
            (tmp_path / "..next").rename(tmp_path / "..data")
            assert (opens(client, old), opens(client, new)) == (False, True)

    @pytest.mark.parametrize("content", [b"nonsense", b"", b"\n", b"\xff\xfe", None])
    def test_what_cannot_be_read_changes_nothing(self, stores: Stack, tmp_path: Path, content: bytes | None) -> None:
        """A file that breaks or vanishes leaves the tokens that were, and one line in the log, not one a request."""
        token, entry = mint("shop", ["jobs:read"])
        path = tmp_path / "tokens"
        path.write_text(entry)
        with serving(stores, API_TOKENS_FILE=str(path)) as (url, role), httpx.Client(base_url=url) as client:
            assert opens(client, token)
            path.unlink() if content is None else path.write_bytes(content)
            assert all(opens(client, token) for _ in range(5))
            assert role.log.read_text().count("tokens not read again") == 1
            path.write_text(f"{entry}\n")
            assert opens(client, token)

    def test_two_changes_within_a_moment(self, stores: Stack, tmp_path: Path) -> None:
        """A file whose time tells no difference is read again all the same."""
        (old, old_entry), (new, new_entry) = mint("shop", ["jobs:read"]), mint("shop", ["jobs:read"])
        path = tmp_path / "tokens"
        path.write_text(old_entry)
        with serving(stores, API_TOKENS_FILE=str(path)) as (url, _), httpx.Client(base_url=url) as client:
            path.write_text(old_entry)
            assert opens(client, old)
            path.write_text(new_entry)
            assert (opens(client, old), opens(client, new)) == (False, True)

    def test_an_expired_token(self, stores: Stack) -> None:
        """It opens nothing, and its operator is told at the start."""
        (expired, entry) = mint("shop", ["jobs:read"], name="ci", expires=TODAY - timedelta(days=1))
        (last, last_entry) = mint("crm", ["jobs:read"], expires=TODAY)
        entries = f"{entry},{last_entry}"
        with serving(stores, API_TOKENS=entries) as (url, role), httpx.Client(base_url=url) as client:
            assert (opens(client, expired), opens(client, last)) == (False, True)
            assert role.said("token expired")
            assert role.said("token expires soon")


class TestSecrecy:
    @pytest.fixture
    def outputs(self, stores: Stack, command: Command, tmp_path: Path) -> tuple[str, str, list[str]]:
        """A token, its hash, and all that the service wrote while the token was used in every way, good and bad."""
        token, entry = mint("shop", ["jobs:read", "jobs:write"], expires=TODAY)
        path = tmp_path / "tokens"
        path.write_text(entry)
        written: list[str] = []
        good = {"Authorization": f"Bearer {token}"}
        headers = [good, {"Authorization": f"Basic {token}"}]
        headers += [good | {name: token} for name in ("X-Request-Id", "Idempotency-Key", "Cookie", "Content-Type")]
        headers += [good | {"X-Request-Id": token[-43:]}]
        requests = [
            ("GET", "/v1/jobs"), ("GET", f"/v1/{token}"), ("GET", f"/v1/jobs?access_token={token}"),
            ("POST", "/v1/reports"), ("POST", "/v1/queues/fast/pause"),
        ]  # fmt: skip
        with serving(stores, API_TOKENS_FILE=str(path), LOG_LEVEL="DEBUG") as (url, role), httpx.Client() as client:
            for method, where in requests:
                for given in headers:
                    answer = client.request(method, url + where, headers=given)
                    written += [answer.text, str(answer.headers)]
            path.write_text(entry + "x")
            client.get(f"{url}/v1/jobs", headers=good)
            until(lambda: role.said("tokens not read again"))
        written.append(role.log.read_text())
        for words in (["check"], ["check", "--json"], ["check", "--token", "-"], ["check", "--token", "-", "--json"]):
            for entries in (entry, entry + "x"):
                done = command(*words, given=token, API_TOKENS=entries)
                written += [done.stdout, done.stderr]
        return token, digest(token), written

    def test_neither_token_nor_hash_is_written(self, outputs: tuple[str, str, list[str]]) -> None:
        """No log line, no answer and no command repeats what opens the door, or what the service knows it by."""
        token, hashed, written = outputs
        assert len(written) > 30
        for text in written:
            assert hashed not in text
            for line in text.splitlines():
                assert token[-43:] not in line, line.replace(token[-43:], "TOKEN")
