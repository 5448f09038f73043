"""GitLab's jobs, executed by gitlab-ci-local's shell executor, each by its name in a clean copy of what is committed.

It cannot start what a trigger starts by name, so that pipeline is run with the variables that the trigger hands on.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.checkout import IMAGE, SECRETS, Checkout

JOB_SECONDS = 900
# GitLab sets these; here they are what the test says.
GIVEN = (
    "CI_API_V4_URL,CI_COMMIT_BRANCH,CI_DEFAULT_BRANCH,CI_JOB_TOKEN,CI_PIPELINE_SOURCE,CI_PROJECT_URL,"
    "CI_REGISTRY_IMAGE,GITLAB_USER_NAME"
)
QUIET = [
    "--ignore-predefined-vars",
    GIVEN,
    "--force-shell-executor",
    "--shell-isolation",
    "--no-color",
    "--concurrency",
    "1",
]


@dataclass(frozen=True)
class Pipelines:
    """The pipelines of one checkout."""

    checkout: Checkout
    program: Path
    home: Path
    variables: Mapping[str, str]

    @classmethod
    def of(cls, checkout: Checkout, modules: Path, folder: Path, variables: Mapping[str, str]) -> "Pipelines":
        """With the variables that a project has: those of every job, and the keys, each for its environment."""
        everywhere = {
            "CI_REGISTRY_IMAGE": IMAGE,
            "CI_REGISTRY_USER": "ci",
            "CI_REGISTRY_PASSWORD": SECRETS["REGISTRY_PASSWORD"],
            "SLACK_CHANNEL": "C123",
            "GITLAB_USER_NAME": "Ada",
            **{
                name: SECRETS[name]
                for name in SECRETS
                if name.isupper() and name not in {"REGISTRY_PASSWORD", "UPDATE_TOKEN"}
            },
        }
        own = {name: {"type": "variable", "values": {"*": text}} for name, text in everywhere.items()}
        keys = {"type": "file", "values": {name: SECRETS[name] for name in ("staging", "production")}}
        token = {"type": "variable", "values": {"update": SECRETS["UPDATE_TOKEN"]}}
        path = folder / ".gitlab-ci-local" / "variables.yml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump({"global": own | {"DEPLOY_KEY_FILE": keys, "UPDATE_TOKEN": token}}))
        # Services are not started for a shell; where they are is said by variables.
        (folder / "engine").write_text("#!/bin/sh\n[ \"$2\" != inspect ] || echo '[{}]'\n")
        (folder / "engine").chmod(0o755)
        return cls(checkout, modules / ".bin" / "gitlab-ci-local", folder, variables)

    def jobs(self, **variables: str) -> dict[str, str]:
        """Which jobs a pipeline would have, in its order, and when they start."""
        said = json.loads(self._said("--list-json", variables=variables))
        return {job["name"]: job["when"] for job in said if job["when"] != "never"}

    def run(self, *jobs: str, file: str = ".gitlab-ci.yml", **variables: str) -> str:
        """Run these jobs, one after the other, and give what they said."""
        return "".join(self._said(job, file=file, variables=variables) for job in jobs)

    def triggered(self, trigger: str, jobs: Sequence[str]) -> str:
        """Run the jobs of the pipeline that a job triggers."""
        read = yaml.safe_load(self._said("--preview"))
        bridge = read[trigger]
        (included,) = bridge["trigger"]["include"]
        version = subprocess.check_output(
            ["git", "rev-parse", "--short=8", "HEAD"], cwd=self.checkout.project, text=True
        )
        handed = {"CI_PIPELINE_SOURCE": "parent_pipeline", "IMAGE": IMAGE, "VERSION": version.strip()}
        return self.run(*jobs, file=included["local"], **handed, **bridge["variables"])

    def _said(self, *words: str, file: str = ".gitlab-ci.yml", variables: Mapping[str, str] | None = None) -> str:
        given = [
            word for item in {**(variables or {}), **self.variables}.items() for word in ("--variable", "=".join(item))
        ]
        here = ["--file", file, "--home", str(self.home), "--container-executable", str(self.home / "engine")]
        run = subprocess.run(
            [str(self.program), *words, *here, *QUIET, *given],
            cwd=self.checkout.project,
            env=self.checkout.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if not words[0].startswith("--") else subprocess.PIPE,
            text=True,
            timeout=JOB_SECONDS,
            check=False,
        )
        assert run.returncode == 0, f"{' '.join(words)}\n{run.stdout}{run.stderr}"
        return run.stdout
