"""What holds for every request, and for the process that answers it: tokens, start, health, ids and headers."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from service import config, database, schema
from service.api import auth
from service.api.app import create_app, run
from service.api.tokens import digest, mint
from service.errors import StartRefused
from tests.contract.conftest import Service, serving
from tests.support.stack import ROOT, Stack, forget_settings, until

NOWHERE = "postgresql://127.0.0.1:1/nowhere"


@pytest.fixture
def refusal(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Start an API here that is expected to refuse; gives what it says."""

    def start(**environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        forget()
        with pytest.raises((SystemExit, StartRefused, config.WrongSettings)) as refused:
            run()
        return str(refused.value)

    def forget() -> None:
        forget_settings()
        auth.keyring.cache_clear()

    yield start
    monkeypatch.undo()
    forget()


def stamp(version: str | None) -> None:
    """Pretend that the database's schema is of this version, or that nothing was ever migrated."""
    with database.transaction() as session:
        session.execute(text("DELETE FROM alembic_version"))
        if version:
            session.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})


class TestTokens:
    def test_none(self, service: Service) -> None:
        """Without a token, 401 says what is wanted."""
        with service.caller() as stranger:
            refused = stranger.get("/v1/jobs")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")

    @pytest.mark.parametrize(
        "value", ["Bearer", "Bearer wrong", "Basic YTpi", "Bearer a b", "bearer", "Token x", "Bearer \xff", "Bearer ,"]
    )
    def test_wrong(self, service: Service, value: str) -> None:
        """No other header lets one in."""
        with service.caller() as stranger:
            refused = stranger.get("/v1/jobs", headers={b"Authorization": value.encode("latin-1")})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")

    def test_in_the_query(self, service: Service) -> None:
        """A token in the URL, where logs would keep it, is none."""
        with service.caller() as stranger:
            assert stranger.get("/v1/jobs", params={"access_token": service.tokens["anna"]}).status_code == 401

    def test_its_hash_is_no_token(self, service: Service) -> None:
        """What the service stores of a token does not open it."""
        with service.caller() as stranger:
            for stolen in (digest(service.tokens["anna"]), f"shop/jobs:read/{digest(service.tokens['anna'])}"):
                assert stranger.get("/v1/jobs", headers={"Authorization": f"Bearer {stolen}"}).status_code == 401

    def test_scopes(self, service: Service) -> None:
        """A token does what its scopes say; the refusal names the one that is missing."""
        with service.caller("reader") as reader:
            assert reader.get("/v1/jobs").status_code == 200
            refused = reader.post("/v1/jobs/01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f/cancel")
            assert refused.status_code == 403
            assert "jobs:write" in refused.json()["detail"]
            assert reader.post("/v1/queues/fast/pause").status_code == 403
        with service.caller("anna") as anna:
            assert anna.post("/v1/queues/fast/pause").status_code == 403

    def test_a_file_is_read_again(self, stores: Stack, tmp_path: Path) -> None:
        """Tokens in a file rotate while the service runs; a file that breaks changes nothing."""
        (old, old_entry), (new, new_entry) = (mint("shop", ["jobs:read"], name=name) for name in ("old", "new"))
        path = tmp_path / "tokens"
        path.write_text(f"{old_entry}\n")
        with serving(stores, API_TOKENS_FILE=str(path)) as (url, role), httpx.Client(base_url=url) as client:

            def opens(token: str) -> bool:
                return client.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 200

            assert (opens(old), opens(new)) == (True, False)
            path.write_text(f"{old_entry}\n{new_entry}\n")
            assert (opens(old), opens(new)) == (True, True)
            path.write_text(f"{new_entry}\n\n")
            assert (opens(old), opens(new)) == (False, True)
            path.write_text("nonsense")
            assert (opens(old), opens(new)) == (False, True)
            path.unlink()
            assert (opens(old), opens(new)) == (False, True)
            assert not any(role.said(token) for token in (old, new))


class TestStart:
    def test_no_tokens_in_production(self, stores: Stack) -> None:
        """In production a service that nobody could call does not start, and says how to make a token."""
        command = [sys.executable, "-m", "service", "api"]
        environment = stores.environment | {"ENVIRONMENT": "production", "DATABASE_URL": NOWHERE}
        refused = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20)
        assert refused.returncode == 2
        assert "tokens new --client" in refused.stderr

    def test_malformed_tokens(self, refusal: Callable[..., str]) -> None:
        """Malformed entries are named by position, without repeating them."""
        said = refusal(API_TOKENS=f"{mint('shop', ['jobs:read'])[1]},a/b/hunter2")
        assert "entry 2" in said
        assert "hunter2" not in said

    def test_a_file_of_tokens_that_is_not_there(self, refusal: Callable[..., str], tmp_path: Path) -> None:
        """A missing file is named by its variable."""
        assert "API_TOKENS_FILE" in refusal(API_TOKENS_FILE=str(tmp_path / "none"))

    def test_the_address_is_taken(self, refusal: Callable[..., str], service: Service) -> None:
        """A port that is taken is said in a sentence."""
        assert "Address already in use" in refusal(PORT=service.url.rpartition(":")[2])

    def test_a_database_that_was_not_migrated(self, refusal: Callable[..., str], tmp_path: Path) -> None:
        """A database without tables is named with the command that makes them."""
        assert "migrate" in refusal(DATABASE_URL=f"sqlite:///{tmp_path / 'empty.db'}")

    def test_a_database_that_is_away(self, refusal: Callable[..., str]) -> None:
        """A database that cannot be reached is named by its variable."""
        assert "DATABASE_URL" in refusal(DATABASE_URL=NOWHERE)

    def test_no_tokens_in_development(self, stores: Stack) -> None:
        """In development a token is made for the run, and the line that is printed works when pasted."""
        with serving(stores, ENVIRONMENT="development") as (_, role):
            command = next(line for line in role.log.read_text().splitlines() if "curl" in line)
            answer = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=10)
        assert "200 OK" in answer.stdout


class TestStop:
    def test_sigterm_ends_it_well(self, stores: Stack) -> None:
        """An API that was told to stop has done its work: exit code 0."""
        with serving(stores) as (_, role):
            assert role.stop() == 0


class TestDocumentation:
    def test_is_served(self, service: Service) -> None:
        """The specification and its page are there for everyone, outside production."""
        assert "swagger-ui" in httpx.get(f"{service.url}/docs", follow_redirects=True).text
        assert httpx.get(f"{service.url}/openapi.json").json()["openapi"] == "3.0.3"

    @pytest.mark.parametrize("path", ["/docs", "/docs/", "/openapi.json", "/openapi.yaml"])
    def test_is_not_served_in_production(self, stores: Stack, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
        """In production there is neither; the specification is in the repository."""
        with monkeypatch.context() as patch:
            patch.setenv("ENVIRONMENT", "production")
            patch.setenv("DATABASE_URL", NOWHERE)
            config.settings.cache_clear()
            app = create_app()
        config.settings.cache_clear()
        assert app.test_client().get(path).status_code == 404


class TestHealth:
    def test_needs_no_token(self, service: Service) -> None:
        """Health is for everyone."""
        with service.caller() as stranger:
            assert stranger.get("/health/live").json()["status"] == "alive"
            assert stranger.get("/health/ready").json()["schema"] == "current"

    def test_without_a_broker(self, brokerless: Service) -> None:
        """A broker that is down does not make the service unready: it accepts work."""
        with brokerless.caller() as stranger:
            ready = stranger.get("/health/ready")
        assert (ready.status_code, ready.json()["broker"], ready.json()["database"]) == (200, "down", "up")

    def test_a_database_that_is_older(self, stores: Stack) -> None:
        """A database that was taken back while the service runs makes it unready, and is named."""
        with serving(stores) as (url, _):
            present = str(schema.current())
            stamp(next(iter(schema.known() - {present}), None))
            try:
                until(lambda: httpx.get(f"{url}/health/ready").is_error)
                ready = httpx.get(f"{url}/health/ready")
            finally:
                stamp(present)
        assert (ready.status_code, ready.json()["schema"]) == (503, "older")
        assert "migrate" in ready.json()["detail"]


class TestEnvelope:
    def test_a_request_id_is_kept(self, service: Service) -> None:
        """A sane X-Request-Id comes back."""
        with service.caller() as stranger:
            answer = stranger.get("/health/live", headers={"X-Request-Id": "trace-1.2_3"})
        assert answer.headers["x-request-id"] == "trace-1.2_3"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", "<script>"])
    def test_an_insane_request_id_is_replaced(self, service: Service, given: str) -> None:
        """What could confuse a log is replaced."""
        with service.caller() as stranger:
            assert stranger.get("/health/live", headers={"X-Request-Id": given}).headers["x-request-id"] != given

    def test_headers(self, service: Service) -> None:
        """Nothing is cached, sniffed or framed, and the server does not introduce itself."""
        with service.caller() as stranger:
            for path in ("/health/live", "/v1/jobs", "/nowhere"):
                headers = stranger.get(path).headers
                assert headers["cache-control"] == "no-store"
                assert headers["x-content-type-options"] == "nosniff"
                assert "frame-ancestors 'none'" in headers["content-security-policy"]
                assert "server" not in headers

    def test_a_body_behind_an_upgrade_is_refused_by_its_name(self, service: Service) -> None:
        """Java's client asks for HTTP/2 like this; what follows such a header is read by nobody."""
        asked = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAA"}
        with service.caller("anna") as anna:
            answer = anna.post(f"/v1/jobs/{uuid4()}/cancel", json={"some": "body"}, headers=asked)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("expected no Upgrade header where there is a body")
