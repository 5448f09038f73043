"""GitHub's workflows, executed here: each `run:` step in a clean checkout, as the runner would start it.

Of the runner's rules it has those that the workflows use: contexts, matrix, `if`, `needs` by order, GITHUB_ENV, and
reusable workflows. An action is what it does: checkout a clone of this depth at this commit, and of the artifacts'
two, one keeps a file and the other brings it back.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.checkout import Checkout

ACTION = re.compile(r"actions/(checkout|upload-artifact|download-artifact)@[0-9a-f]{40}")
STEP_SECONDS = 900
Contexts = dict[str, Any]


@dataclass
class Run:
    """One start of a workflow: by what, and what it may know."""

    checkout: Checkout
    contexts: Contexts
    variables: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    said: str = ""
    steps: list[str] = field(default_factory=list)
    artifacts: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def workflow(self, path: str, inputs: Mapping[str, str] | None = None) -> "Run":
        """Run the jobs of a workflow, one after the other."""
        read = yaml.safe_load((self.checkout.project / path).read_text())
        contexts = self.contexts | {"inputs": inputs or {}}
        without: set[str] = set()
        for name, job in read["jobs"].items():
            needs = {job["needs"]} if isinstance(job.get("needs"), str) else {*job.get("needs", ())}
            if needs & without or not holds(job.get("if", ""), contexts):
                without.add(name)
            if name in without or name in self.skipped:
                continue
            if "uses" in job:
                given = {key: filled(value, contexts) for key, value in job["with"].items()}
                secrets = {key: filled(value, contexts) for key, value in job["secrets"].items()}
                assert secrets.keys() <= self.contexts["secrets"].keys()
                self.workflow(job["uses"].removeprefix("./"), given)
                continue
            for matrix in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
                self._job(name, job, contexts | {"matrix": matrix})
        return self

    def _job(self, name: str, job: Mapping[str, Any], contexts: Contexts) -> None:
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
            runner = Path(folder)
            files = {key: runner / key for key in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
            for path in files.values():
                path.touch()
            environment = self.checkout.environment(**self.variables, **of_github(contexts), RUNNER_TEMP=folder)
            environment |= {key: str(path) for key, path in files.items()}
            environment |= {key: filled(value, contexts) for key, value in job.get("env", {}).items()}
            for step in job["steps"]:
                if "uses" in step:
                    self._act(step, runner / "work", contexts)
                elif holds(step.get("if", ""), contexts):
                    own = {key: filled(value, contexts) for key, value in step.get("env", {}).items()}
                    told = dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
                    self._step(name, step, runner, environment | told | own)

    def _act(self, step: Mapping[str, Any], folder: Path, contexts: Contexts) -> None:
        known = ACTION.fullmatch(step["uses"])
        assert known, step["uses"]
        wanted = step["with"]
        if known[1] == "upload-artifact":
            self.artifacts[wanted["name"]] = (wanted["path"], (folder / wanted["path"]).read_bytes())
        elif known[1] == "download-artifact":
            path, content = self.artifacts[wanted["name"]]
            place = Path(wanted["path"].replace("${{ runner.temp }}", str(folder.parent)))
            # Not into the clone, whose settings it could bring along.
            assert folder not in place.parents
            place.mkdir()
            (place / path).write_bytes(content)
        else:
            self._clone(wanted, folder, contexts)

    def _clone(self, wanted: Mapping[str, Any], folder: Path, contexts: Contexts) -> None:
        assert wanted["persist-credentials"] is False
        depth = wanted.get("fetch-depth", 1)
        commit = filled(wanted.get("ref", "${{ github.sha }}"), contexts)
        git = ["git", "-C", str(folder)]
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
        subprocess.run([*git, "remote", "add", "origin", self.checkout.origin.as_uri()], check=True)
        shallow = [f"--depth={depth}"] if depth else []
        subprocess.run([*git, "fetch", "--quiet", *shallow, "origin", commit], check=True)
        subprocess.run([*git, "checkout", "--quiet", commit], check=True)

    def _step(self, job: str, step: Mapping[str, Any], runner: Path, environment: Mapping[str, str]) -> None:
        assert "${{" not in step["run"], "expected expressions in `env:` alone, where no shell reads them as its own"
        script = runner / "step.sh"
        script.write_text(step["run"])
        run = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=runner / "work",
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        self.said += run.stdout
        self.steps.append(f"{job}: {step.get('name', step['run'])}")
        assert run.returncode == 0, f"{self.steps[-1]}\n{run.stdout}"


def of_github(contexts: Contexts) -> dict[str, str]:
    """The variables that the runner sets by itself."""
    names = ("actor", "event_name", "ref", "repository", "run_id", "server_url", "sha")
    return {"CI": "true"} | {f"GITHUB_{name.upper()}": str(contexts["github"][name]) for name in names}


def filled(text: object, contexts: Contexts) -> str:
    """A text with its expressions replaced by their values."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(value(found[1], contexts)), str(text))


def holds(condition: str, contexts: Contexts) -> bool:
    """Whether a job or a step is to run."""
    return not condition or bool(value(condition, contexts))


def value(expression: str, contexts: Contexts) -> str | bool:
    """What an expression of names, quoted words, ==, != and || is."""
    found: str | bool = ""
    for alternative in expression.split("||"):
        first, operator, second = re.fullmatch(r"(.*?)(?:([!=]=)(.*))?", alternative).groups()  # type: ignore[union-attr]
        found = _atom(first, contexts)
        if operator:
            found = (found == _atom(second, contexts)) == (operator == "==")
        if found:
            break
    return found


def _atom(word: str, contexts: Contexts) -> str:
    word = word.strip()
    if word.startswith("'"):
        return word.strip("'")
    context, _, name = word.partition(".")
    assert context in contexts, f"expected a context of GitHub, got: {word}"
    return str(contexts[context].get(name, ""))
