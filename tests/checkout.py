"""A rendered service as a team has it in its repository, with what this machine has not stood in for.

- The place that is deployed to is a folder, and `make deploy` is the real one: `deploy/<place>/` has tests of its own.
- docker, a registry, the scanner with its database, apt-get, and GitHub's gh: programs that write down each call.
- The channels of announcements are at an address where nobody listens: they have tests of their own.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import UV, commit, git

PROGRAMS = ("docker", "apt-get", "gh")
IMAGE = "registry.example.com/team/order-desk"
SECRETS = {
    name: f"secret-{name.lower().replace('_', '-')}-of-this-test"
    for name in (
        "ANNOUNCE_WEBHOOK_TOKEN",
        "ANNOUNCE_WEBHOOK_URL",
        "DD_API_KEY",
        "PAGERDUTY_ROUTING_KEY",
        "REGISTRY_PASSWORD",
        "SENTRY_AUTH_TOKEN",
        "SLACK_BOT_TOKEN",
        "UPDATE_TOKEN",
        "staging",
        "production",
    )
}
# Where this machine has its caches, its package index and the certificates that it trusts.
KEPT = ("HOME", "LANG", "PIP_", "REQUESTS_", "SSL_", "TMPDIR", "UV_", "npm_config_")
NOBODY = "http://127.0.0.1:9"
ROLES = ("worker-fast", "worker-slow", "beat", "api")

PLACE = '''"""A stand-in: each environment is a folder, and who reaches it leaves there what was shown at the door."""

import json
import os
from pathlib import Path

from deploy.platform import Refused
from tests.support.shelf import Shelf

SHOWN = ("IMAGE", "PAGE", "REGISTRY_USER", "REGISTRY_PASSWORD", "SETTINGS_FILE", "SLACK_CHANNEL", "SLACK_BOT_TOKEN")


class Folder(Shelf):
    """One environment."""

    def __init__(self, environment: str) -> None:
        self.folder = Path(os.environ["STAND_INS"], environment)

    def reach(self, version: str) -> None:
        """Let in who has a key, for an image that was built."""
        shown = {name: os.environ.get(name, "") for name in SHOWN} | {"version": version}
        shown["key"] = Path(os.environ["DEPLOY_KEY_FILE"]).read_text().strip()
        with (self.folder / "reached").open("a") as file:
            file.write(json.dumps(shown) + "\\n")
        image = f"{shown['IMAGE']}:{version}"
        if image not in (self.folder.parent / "images").read_text().splitlines():
            raise Refused(f"expected {image} in its registry, got: none; build it first")


def open(environment: str) -> Folder:  # noqa: A001 - the name that a deploy asks for
    """Open it."""
    return Folder(environment)
'''

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tests.stand_ins import main
main(sys.argv)
"""


@dataclass(frozen=True)
class Checkout:
    """A clone with its own history of two versions, the first of which is deployed; and the folder of the stand-ins."""

    project: Path
    origin: Path
    stand_ins: Path
    versions: tuple[str, str]

    @classmethod
    def of(cls, rendered: Path, lock: Path, folder: Path, prepare: Callable[[Path], None] | None = None) -> "Checkout":
        """Commit what was rendered, with the lock of a copy that was installed, and a change."""
        project = shutil.copytree(rendered, folder / rendered.name)
        shutil.copy(lock, project / "uv.lock")
        # What one place wants beside the default one's.
        subprocess.run([UV, "lock", "--quiet"], cwd=project, check=True)
        (place,) = project.glob("deploy/*/place.py")
        place.write_text(PLACE)
        # Thousands of requests take minutes; one of each kind says that the job runs.
        contract = project / "tests" / "contract" / "__main__.py"
        contract.write_text(contract.read_text().replace("EXAMPLES = 100", "EXAMPLES = 1"))
        if prepare:
            prepare(project)
        git(project, "init", "--quiet", "--initial-branch", "main")
        versions = []
        for title in ("Render", "Change"):
            (project / "README.md").open("a").write(f"\n{title}.\n")
            commit(project, title)
            versions.append(subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=project, text=True).strip())
        origin = folder / "origin.git"
        git(folder, "clone", "--quiet", "--bare", str(project), str(origin))
        for setting in ("receive.advertisePushOptions", "uploadpack.allowAnySHA1InWant"):
            git(origin, "config", setting, "true")
        hook = origin / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\nenv | grep ^GIT_PUSH_OPTION_ | sort -V >{folder}/options || true\n")
        hook.chmod(0o755)
        git(project, "remote", "add", "origin", "https://git.example.com/team/order-desk.git")
        return cls(project, origin, stand_in(folder / "stand-ins"), (versions[0], versions[1]))

    def deployed(self, version: str, image: str = IMAGE) -> None:
        """Let both environments have had this version all along."""
        (self.stand_ins / "images").write_text(f"{image}:{version}\n")
        for environment in ("staging", "production"):
            folder = self.stand_ins / environment
            folder.mkdir(exist_ok=True)
            (folder / "versions").write_text(json.dumps(dict.fromkeys(ROLES, version)))

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of whoever runs a pipeline here: programs, caches, and nothing that is set by chance."""
        kept = {name: text for name, text in os.environ.items() if name.startswith(KEPT)}
        channels = dict.fromkeys(("SLACK_API_URL", "DD_API_URL", "PAGERDUTY_API_URL", "SENTRY_URL"), NOBODY)
        own = {"PATH": f"{self.stand_ins}:{os.environ['PATH']}", "STAND_INS": str(self.stand_ins)}
        return kept | channels | own | more

    def calls(self, program: str) -> list[str]:
        """How a stand-in was called."""
        return [" ".join(call["words"]) for call in self._read("calls") if call["program"] == program]

    def shown(self, environment: str) -> list[dict[str, str]]:
        """What was shown at the door of an environment, once for each target."""
        return self._read(f"{environment}/reached")

    def runs(self, environment: str) -> dict[str, str]:
        """The version that each role of an environment is set to."""
        found: dict[str, str] = json.loads((self.stand_ins / environment / "versions").read_text())
        return found

    def proposed(self) -> str:
        """What the branch `update` changes, as it was pushed."""
        return subprocess.check_output(["git", "diff", "main", "update"], cwd=self.origin, text=True)

    def _read(self, name: str) -> list[dict[str, str]]:
        path = self.stand_ins / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stand_in(folder: Path) -> Path:
    """Make the programs."""
    folder.mkdir()
    for program in PROGRAMS:
        (folder / program).write_text(PROGRAM)
        (folder / program).chmod(0o755)
    return folder


def demand_no_secret(said: str) -> None:
    """No log holds what only those may know who are let in."""
    assert not [name for name, secret in SECRETS.items() if secret in said]
