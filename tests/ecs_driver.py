"""The steps of a deploy to ECS, each in a process of its own; fixtures for the tests of them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.aws import ANYBODY, IMAGE, Aws, account, begin
from tests.conftest import Render

PATIENCE_SECONDS = 60

Step = Sequence[object]

# As the deploy's own command does it, with shorter waits: each step by its name, until one is refused or fails.
DRIVE = """
import dataclasses, json, sys
from deploy.ecs.place import open
from deploy.platform import Failed, Record, Refused
try:
    place = dataclasses.replace(open(sys.argv[1]), step=float(sys.argv[2]), pause=0.02)
    for name, *words in json.loads(sys.argv[3]):
        words = [Record(**word) if isinstance(word, dict) else word for word in words]
        said = getattr(place, name)(*words)
        print(json.dumps(said.fields() if isinstance(said, Record) else said))
except (Refused, Failed) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@dataclass
class Driver:
    """What does the steps of a deploy, in a process of its own."""

    aws: Aws
    service: Path
    home: Path

    @property
    def file(self) -> Path:
        """The file of the environment."""
        return self.service / "deploy" / "ecs" / "staging.json"

    def start(self, *steps: Step, step: float = 20, **environ: str) -> subprocess.Popen[str]:
        """Begin these steps; `step` are the seconds that each may take."""
        words = [environ.pop("name", "staging"), str(step), json.dumps(steps)]
        return subprocess.Popen(
            [sys.executable, "-B", "-c", DRIVE, *words],
            cwd=self.service,
            env=surroundings(self.aws, self.home) | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def done(self, *steps: Step) -> list[object]:
        """What the steps gave; all of them went well."""
        with self.start(*steps) as process:
            said, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, wrong
        return [json.loads(line) for line in said.splitlines()]

    def refused(self, *steps: Step, kind: str = "Refused", step: float = 20, **environ: str) -> str:
        """The one sentence that the steps ended with."""
        with self.start(*steps, step=step, **environ) as process:
            said, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1, said + wrong
        assert wrong.startswith(f"{kind}: expected "), wrong
        assert wrong.count("\n") == 1, wrong
        return wrong

    def failed(self, *steps: Step, step: float = 20) -> str:
        """The one sentence that the steps ended with, after something was changed."""
        return self.refused(*steps, kind="Failed", step=step)

    def kill(self, *steps: Step, after: str) -> None:
        """Begin the steps, and kill the process once AWS was asked to do this."""
        before = self.aws.scheduler.calls.count(after)
        with self.start(*steps) as process:
            self.until(lambda: self.aws.scheduler.calls.count(after) > before, process)
            process.kill()

    def until(self, came: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Wait for something that happens while the process runs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not came():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, (
                f"expected it within {PATIENCE_SECONDS} s, got: {self.aws.scheduler.calls}"
            )
            time.sleep(0.01)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """One server for all of these tests."""
    with account(tmp_path_factory.mktemp("moto")) as aws:
        yield aws


@pytest.fixture
def aws(server: Aws) -> Aws:
    """An account in which nothing was deployed."""
    begin(server)
    return server


@pytest.fixture
def drive(render: Render, aws: Aws, tmp_path: Path) -> Driver:
    """A rendered service whose staging is this account."""
    folder = shutil.copytree(render(deploy="ecs"), tmp_path / "order-desk")
    aws.make(folder)
    return Driver(aws, folder, tmp_path)


def surroundings(aws: Aws, folder: Path) -> dict[str, str]:
    """What a deploy finds in its environment: the image, a file of credentials, and this machine's AWS."""
    key = folder / "credentials"
    if not key.exists():
        write_key(folder, ANYBODY)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "IMAGE": IMAGE,
        "DEPLOY_KEY_FILE": str(key),
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def write_key(folder: Path, lines: dict[str, str]) -> None:
    """The file of credentials, as AWS's own tools have it."""
    (folder / "credentials").write_text("\n".join(["[default]", *(f"{name} = {lines[name]}" for name in lines), ""]))
