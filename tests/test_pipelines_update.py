"""The scheduled update, executed: newer images are asked of a registry, and proposed on a branch that is pushed.

The registry is a stand-in that has one patch more of each image; libraries are asked of the index that is set.
"""

import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

import pytest

from tests.checkout import Checkout, demand_no_secret
from tests.conftest import UV, Render
from tests.github import Run
from tests.gitlab import Pipelines
from tests.test_pipelines_run import contexts

pytestmark = [pytest.mark.pipelines, pytest.mark.timeout(900)]

JOB_TOKEN = "a-token-of-this-job"
DIGEST = f"sha256:{'0' * 64}"
FILES = ("Dockerfile", "compose.yaml", "deploy/image", "deploy/compose/compose.yaml", ".gitlab-ci.yml", ".gitlab/*.yml")
NAMED = re.compile(
    r"""((?:FROM\ |--from=|(?:image|name):\ "?|^(?:buildkit|scanner)=))
    ([a-z0-9./-]+):(v?[0-9.]+\.)([0-9]+)([a-z-]*)""",
    re.MULTILINE | re.VERBOSE,
)


class Registry(ThreadingHTTPServer):
    """Has images of the lines that a project names, each in the next patch and in another line."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.tags: dict[str, list[str]] = {}
        self.newest: set[str] = set()
        self.packages: dict[str, bytes] = {}
        self.digest = DIGEST

    def __enter__(self) -> Self:
        """Answer."""
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()

    def take_over(self, project: Path) -> None:
        """Let the project's images be those of this registry."""
        for path in (path for pattern in FILES for path in project.glob(pattern)):
            path.write_text(NAMED.sub(self._mine, path.read_text()))

    def _mine(self, found: re.Match[str]) -> str:
        before, image, line, patch, variant = found.groups()
        newest = f"{line}{int(patch) + 1}{variant}"
        known = self.tags.setdefault(image, [])
        known += ["latest", newest, f"{line}{int(patch) + 2}-rc", f"{line.replace('.', '9.', 1)}0{variant}"]
        own = f"127.0.0.1:{self.server_port}/{image}"
        self.newest.add(f"{own}:{newest}@{DIGEST}")
        return f"{before}{own}:{line}{patch}{variant}"


class Answers(BaseHTTPRequestHandler):
    """One question to the registry of images, or to GitLab's of packages."""

    server: Registry

    def do_HEAD(self) -> None:
        """/v2/NAME/manifests/TAG."""
        name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        self.send_response(200 if tag in self.server.tags[name] else 404)
        self.send_header("Docker-Content-Digest", self.server.digest)
        self.end_headers()

    def do_PUT(self) -> None:
        """/api/v4/projects/.../packages/generic/..., which lets in who has a job's token."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        let_in = self.headers["JOB-TOKEN"] == JOB_TOKEN
        if let_in and body:
            self.server.packages[self.path] = body
        self.send_response(201 if let_in and body else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """/v2/NAME/tags/list, or a package."""
        name = self.path.removeprefix("/v2/").removesuffix("/tags/list")
        basic = b64encode(f"gitlab-ci-token:{JOB_TOKEN}".encode()).decode()
        if self.headers["Authorization"] == f"Basic {basic}":
            # As where packages lie in an object storage.
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}{self.path}")
            body = b"elsewhere"
        elif self.path in self.server.packages and "Authorization" not in self.headers:
            self.send_response(200)
            body = self.server.packages[self.path]
        else:
            self.send_response(200)
            body = json.dumps({"name": name, "tags": self.server.tags[name]}).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry of this test's own."""
    with Registry() as made:
        yield made


@pytest.fixture
def checkout(render: Render, installed: Path, tmp_path: Path, registry: Registry) -> Callable[[str], Checkout]:
    """A service whose images that registry has."""

    def make(ci: str) -> Checkout:
        return Checkout.of(render(ci=ci), installed / "uv.lock", tmp_path, registry.take_over)

    return make


def demand_proposed(here: Checkout, registry: Registry) -> None:
    """Every image is named in its next patch, with its digest; nothing but that and the lock was touched."""
    added = [line for line in here.proposed().splitlines() if line.startswith("+")]
    assert registry.newest
    for image in registry.newest:
        assert any(image in line for line in added), image
    changed = {line.removeprefix("+++ b/") for line in added if line.startswith("+++")}
    assert changed - {"uv.lock"} <= {
        "Dockerfile",
        "compose.yaml",
        "deploy/image",
        ".gitlab-ci.yml",
        ".gitlab/deploy.yml",
    }


def test_gitlab_proposes_what_is_newer(
    checkout: Callable[[str], Checkout], registry: Registry, modules: Path, tmp_path: Path
) -> None:
    """As a merge request, by the options of the push; the token is the environment's, and in no log."""
    here = checkout("gitlab")
    variables = {"CI_PIPELINE_SOURCE": "schedule", "CI_PROJECT_URL": f"file://{tmp_path}/origin"}
    gitlab = {"CI_API_V4_URL": f"http://127.0.0.1:{registry.server_port}/api/v4", "CI_JOB_TOKEN": JOB_TOKEN}
    pipelines = Pipelines.of(here, modules, tmp_path, variables | gitlab)
    said = pipelines.run("update") + pipelines.run("propose")
    demand_proposed(here, registry)
    assert JOB_TOKEN not in said
    (package,) = registry.packages
    newest, registry.packages[package] = registry.packages[package], registry.packages[package].partition(b"diff")[0]
    assert newest != registry.packages[package]
    assert "Nothing is newer." in pipelines.run("propose")
    registry.packages[package] = b"something else"
    with pytest.raises(AssertionError, match="expected the patch of update"):
        pipelines.run("propose")
    options = (tmp_path / "options").read_text()
    assert [
        line.partition("=")[2] for line in options.splitlines() if not line.startswith("GIT_PUSH_OPTION_COUNT")
    ] == [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.remove_source_branch",
    ]
    demand_no_secret(said)


def test_github_proposes_what_is_newer(checkout: Callable[[str], Checkout], registry: Registry) -> None:
    """As a pull request, made by GitHub's own program."""
    here = checkout("github")
    run = Run(here, contexts(here, "schedule"), {}, ["faults", "audit", "template"]).workflow(
        ".github/workflows/upkeep.yml"
    )
    demand_proposed(here, registry)
    assert [" ".join(call.split()[:3]) for call in here.calls("gh")] == [
        "auth setup-git",
        "pr view update",
        "pr create --head",
    ]
    demand_no_secret(run.said)


@pytest.mark.parametrize("answer", ["nothing", "a command", "half of it"])
def test_nothing_is_written_when_a_registry_does_not_answer_with_an_image_and_its_digest(
    checkout: Callable[[str], Checkout], registry: Registry, answer: str
) -> None:
    """One sentence says which; `deploy/image` is a script, and a digest a part of it."""
    here = checkout("gitlab")
    if answer == "nothing":
        registry.tags["postgres"] = []
    else:
        registry.digest = {"a command": "sha256:0;touch${IFS}here;#", "half of it": DIGEST[:-1]}[answer]
    command = [UV, "run", "--quiet", "python", "-m", "local.images"]
    run = subprocess.run(command, cwd=here.project, env=here.environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    got = r"postgres:17\.11-alpine and its digest in its registry, got: status 404, and" if answer == "nothing" else ""
    assert re.fullmatch(rf"expected 127\S+{got or '.*status 200,'} no digest; [^\n]+\n", run.stderr), run.stderr
    assert not subprocess.check_output(["git", "status", "--porcelain"], cwd=here.project)
