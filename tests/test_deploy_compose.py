"""Deploys to one machine with Docker, on a real engine behind a real sshd."""

import base64
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from tests.conftest import Render
from tests.machine import BROKEN, FIRST, IMAGE, SECOND, Machine, docker, machine, until
from tests.zero_downtime import Load

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

ROLES = ("worker-fast", "worker-slow", "beat", "api-1", "api-2")
REACH_SECONDS = 15


@pytest.fixture(scope="module")
def there(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The machine, empty at first; what a test deploys is there for the next."""
    with machine(render(deploy="compose"), tmp_path_factory.mktemp("machine")) as made:
        yield made


def all_at(version: str) -> dict[str, str]:
    """What runs when every role is there."""
    return dict.fromkeys(ROLES, version)


def demand_first(there: Machine) -> None:
    """Hold that every role runs the first version, or deploy it."""
    if there.runs() != all_at(FIRST):
        done = there.make("deploy", f"VERSION={FIRST}")
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_missing_is_named_at_once(there: Machine) -> None:
    """Nobody likes to be told one thing after the other."""
    for command in (["forward", "empty", FIRST], ["back", "empty"]):
        said = there.refused(*command, SETTINGS_FILE="/nowhere", IMAGE="")
        assert said.startswith("expected settings for empty, got: "), said
        for name in ("DOCKER_HOST", "HOST_KEY", "IMAGE", "SETTINGS_FILE"):
            assert name in said
    assert "expected TARGET_ENV to be empty or production or staging, got: qa" in there.refused("forward", "qa", FIRST)


def test_an_image_that_is_nowhere_is_refused(there: Machine) -> None:
    """Neither on the machine nor where it could fetch it."""
    assert f"expected the image {IMAGE}:never-built to be there" in there.refused("forward", "staging", "never-built")
    assert not there.runs()


class Door(BaseHTTPRequestHandler):
    """A registry that asks who is there, and has nothing."""

    shown: ClassVar[set[tuple[str, str]]] = set()

    def do_GET(self) -> None:
        """Let in whoever shows anything."""
        self.shown.add((self.path, self.headers.get("Authorization", "")))
        known = "Authorization" in self.headers
        self.send_response((200 if self.path == "/v2/" else 404) if known else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="a door"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_registry_is_shown_who_asks(there: Machine) -> None:
    """For this image alone: what is shown is kept nowhere."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        registry = f"127.0.0.1:{door.server_port}"
        secret = {"REGISTRY_USER": "ci", "REGISTRY_PASSWORD": "of-the-registry"}
        said = there.refused("forward", "staging", "v9", IMAGE=f"{registry}/team/desk", **secret)
        door.shutdown()
    assert f"expected the image {registry}/team/desk:v9 to be there" in said
    assert secret["REGISTRY_PASSWORD"] not in said
    basic = f"Basic {base64.b64encode(':'.join(secret.values()).encode()).decode()}"
    assert ("/v2/team/desk/manifests/v9", basic) in Door.shown
    kept = Path.home() / ".docker" / "config.json"
    assert not kept.exists() or registry not in kept.read_text()


def test_a_wrong_key_is_not_let_in(there: Machine) -> None:
    """And no other key of the person who deploys is tried."""
    said = there.refused("forward", "staging", FIRST, DEPLOY_KEY_FILE=f"{there.folder}/stranger")
    assert "Permission denied (publickey" in said
    assert "DEPLOY_KEY_FILE" in said


def test_another_machine_is_not_told_anything(there: Machine) -> None:
    """One that has not the key of HOST_KEY."""
    said = there.refused("forward", "production", FIRST)
    assert "Host key verification failed" in said or "REMOTE HOST IDENTIFICATION" in said
    assert "HOST_KEY" in said


def test_a_machine_that_does_not_answer_is_not_waited_for(there: Machine) -> None:
    """It took the connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"ssh://nobody@127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        said = there.drive(f"module.Compose('staging', {{'DOCKER_HOST': '{host}', 'HOST_KEY': 'x'}}).reach('{FIRST}')")
        assert said.startswith("Refused: expected `ssh -p"), said
        assert "\n" not in said
        assert time.monotonic() - began < REACH_SECONDS + 5


def test_two_deploys_do_not_cross(there: Machine) -> None:
    """The second is told who is at it; what a killed one left over ends by itself."""
    assert not there.drive("place.lock('alice')")
    said = there.refused("forward", "staging", FIRST)
    assert "got: alice since 20" in said
    broken = said[said.index("docker rm") :].split()
    # Somebody else's is left alone; the command that is named breaks it.
    assert not there.drive("place.unlock('bob')")
    assert there.drive("place.lock('bob')").startswith("Refused: ")
    docker(*broken[1:])
    assert not there.drive("module.LOCK_SECONDS = 4; place.lock('carol')")
    assert "got: carol since" in there.drive("place.lock('dave')")
    until(lambda: not there.drive("place.lock('dave')"), 30)
    assert not there.drive("place.unlock('dave')")
    assert not there.drive("place.unlock('dave')")


def test_a_first_deploy_from_nothing(there: Machine) -> None:
    """One command, and the API answers through the proxy, which alone is published."""
    done = there.make("deploy", f"VERSION={FIRST}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert there.runs() == all_at(FIRST)
    with there.api as api:
        assert api.get("/health/ready").json()["version"] == FIRST
    assert there.drive("print(place.record())") == f"Record(version='{FIRST}', before='', state='done', came='')"
    again = there.make("deploy", f"VERSION={FIRST}", "DRY_RUN=1")
    assert again.stdout.count("already there") == 4
    # A redeploy looks, and touches nothing.
    containers = docker("ps", "--quiet", "--no-trunc")
    assert there.make("deploy", f"VERSION={FIRST}").returncode == 0
    assert docker("ps", "--quiet", "--no-trunc") == containers


def test_settings_that_changed_reach_every_role(there: Machine) -> None:
    """Although the version is the one that runs."""
    demand_first(there)
    with (there.folder / "settings").open("a") as settings:
        settings.write("LOG_LEVEL=WARNING\n")
    assert not there.drive(f"place.replace('beat', '{FIRST}')")
    name = f"{there.service.name}-staging-beat-1"
    assert "LOG_LEVEL=WARNING" in docker("inspect", name)


def test_a_connection_that_broke_is_made_anew(there: Machine) -> None:
    """A command that was under way fails; the next one, as going back is, does not."""
    demand_first(there)
    broken = f"place.reach('{FIRST}'); place._host._ssh.kill(); place._host._ssh.wait(); print(place.versions()['api'])"
    assert there.drive(broken) == FIRST


@pytest.mark.parametrize("target", ["migrate", "worker-slow"])
def test_who_interrupts_a_deploy_is_told_where_things_stand(there: Machine, target: str) -> None:
    """Nothing of it goes on unseen, and the next one need not wait."""
    demand_first(there)
    process = there.start("forward", "staging", SECOND)
    assert process.stdout
    for line in process.stdout:
        if f"{target} ->" in line:
            break
    if target == "migrate":
        until(lambda: docker("ps", "--quiet", "--filter", f"name={there.service.name}-staging-migrate"))
    process.send_signal(signal.SIGINT)
    _, wrong = process.communicate()
    assert process.returncode == 1
    assert wrong.startswith("interrupted; now worker-fast "), wrong
    assert "next: " in wrong
    for name in ("lock", "migrate"):
        assert not docker("ps", "--all", "--quiet", "--filter", f"name={there.service.name}-staging-{name}"), name
    there.make("rollback")
    assert there.runs() == all_at(FIRST)


@pytest.mark.parametrize("role", ["worker-fast", "api"])
def test_a_deploy_that_was_killed_goes_on(there: Machine, role: str) -> None:
    """In the middle of a role; the lock that it left is broken by the command that the next one names."""
    demand_first(there)
    process = there.start("forward", "staging", SECOND)
    assert process.stdout
    for line in process.stdout:
        if f"{role} ->" in line:
            break
    until(lambda: SECOND in there.runs().values())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = there.refused("forward", "staging", SECOND)
    docker(*said[said.index("docker rm") :].split()[1:])
    done = there.make("deploy", f"VERSION={SECOND}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert there.runs() == all_at(SECOND)
    assert f"before='{FIRST}', state='done'" in there.drive("print(place.record())")
    back = there.make("rollback")
    assert back.returncode == 0, back.stdout + back.stderr
    assert there.runs() == all_at(FIRST)


def test_no_request_fails_and_no_job_is_lost_or_doubled(there: Machine) -> None:
    """Through a deploy, a rollback, and a deploy of a version whose API is never ready, which goes back by itself."""
    demand_first(there)
    load = Load(there)
    load.start()
    until(lambda: load.requests[httpx.codes.ACCEPTED] > 10)
    began = time.monotonic()
    try:
        forward = there.make("deploy", f"VERSION={SECOND}")
        assert forward.returncode == 0, forward.stdout + forward.stderr
        assert there.runs() == all_at(SECOND)
        back = there.make("rollback")
        assert back.returncode == 0, back.stdout + back.stderr
        assert there.runs() == all_at(FIRST)
        broken = there.make("deploy", f"VERSION={BROKEN}")
        assert broken.returncode != 0
        assert f"went back to {FIRST}, which was verified" in broken.stderr, broken.stdout + broken.stderr
        assert there.runs() == all_at(FIRST)
    finally:
        load.stop()
    print(f"{load.requests} in {time.monotonic() - began:.0f} s, the slowest {load.slowest:.1f} s")
    load.demand_right_books()
