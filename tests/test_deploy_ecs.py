"""Deploys to Amazon ECS, against moto's server over HTTP; `tests/ecs_scheduler.py` says what AWS adds to it."""

import json

import pytest

from tests import ecs_driver
from tests.aws import IMAGE, Aws
from tests.ecs_driver import Driver, Step

pytestmark = pytest.mark.deploys
server, aws, drive = ecs_driver.server, ecs_driver.aws, ecs_driver.drive

OLD, NEW = "1a2b3c4", "5d6e7f8"
ROLES = ["worker-fast", "worker-slow", "beat", "api"]


def record(version: str) -> dict[str, str]:
    """What is remembered of it."""
    return {"version": version, "before": OLD if version == NEW else "", "state": "done", "came": "worker-slow"}


def forward(version: str) -> list[Step]:
    """The steps of a whole deploy."""
    return [
        ["reach", version],
        ["lock", "me"],
        ["once", "fit", version],
        ["once", "migrate", version],
        *[["replace", role, version] for role in ROLES],
        ["once", "verify", version],
        ["remember", record(version)],
        ["unlock", "me"],
    ]


def test_forward_and_again_and_back(drive: Driver, aws: Aws) -> None:
    """Each role is replaced, of beat there are never two, and what is there already is only looked at."""
    assert drive.done(["record"], ["versions"]) == [None, {}]
    drive.done(*forward(OLD))
    drive.done(*forward(NEW))
    assert drive.done(["record"], ["versions"]) == [record(NEW), dict.fromkeys(ROLES, NEW)]
    together = {
        name.removeprefix("order-desk-staging-"): each.together for name, each in aws.scheduler.services.items()
    }
    assert together == {"worker-fast": 2, "worker-slow": 2, "beat": 1, "api": 4}
    changes, definitions = len(aws.scheduler.changes), len(aws.scheduler.versions)
    assert changes == 2 * len(ROLES)
    drive.done(*forward(NEW))
    assert (len(aws.scheduler.changes), len(aws.scheduler.versions)) == (changes, definitions)
    assert aws.scheduler.calls.count("RunTask") == 3 * 3
    drive.done(["replace", "api", OLD], ["replace", "beat", OLD])
    assert drive.done(["versions"]) == [{"worker-fast": NEW, "worker-slow": NEW, "beat": OLD, "api": OLD}]


def test_a_role_is_done_when_the_last_task_of_another_version_has_ended(drive: Driver, aws: Aws) -> None:
    """The old worker stops in its grace, while ECS calls the deployment COMPLETED."""
    drive.done(["replace", "worker-slow", OLD], ["replace", "worker-slow", NEW])
    left = [task["lastStatus"] for task in aws.scheduler.services["order-desk-staging-worker-slow"].tasks]
    assert left == ["STOPPED", "RUNNING"]


def test_what_runs_once_has_its_entrypoint_and_the_address_of_the_api(drive: Driver, aws: Aws) -> None:
    """Migrations are the image's own command; the two others are not the service."""
    drive.done(["once", "fit", NEW], ["once", "migrate", NEW], ["once", "verify", NEW])
    ecs = aws.client("ecs")
    made = {}
    for what in ("fit", "migrate", "verify"):
        definition = ecs.describe_task_definition(taskDefinition=f"order-desk-staging-{what}")["taskDefinition"]
        (container,) = definition["containerDefinitions"]
        assert container["image"] == f"{IMAGE}:{NEW}"
        variables = {each["name"]: each["value"] for each in container["environment"]}
        made[what] = (container.get("entryPoint"), container["command"], variables.get("API_URL"))
    inside = ["python", "-m", "deploy.inside"]
    assert made == {
        "fit": (inside, ["fit"], None),
        "migrate": (None, ["migrate"], None),
        "verify": (inside, ["verify"], json.loads(drive.file.read_text())["api_url"]),
    }


def test_a_migration_that_fails_is_told_in_its_own_words(drive: Driver, aws: Aws) -> None:
    """The last lines of the task's log, which CloudWatch has by the name of the task."""
    aws.scheduler.exits["migrate"] = 1
    aws.scheduler.says["migrate"] = ["INFO upgrading 0003", 'ERROR column "total" contains null values']
    said = drive.failed(["once", "migrate", NEW])
    assert "migrate to exit with 0, got: exit code 1, Essential container in task exited" in said
    assert 'ERROR column "total" contains null values' in said
    del aws.scheduler.exits["migrate"]
    assert drive.done(["once", "migrate", NEW]) == ["\n".join(aws.scheduler.says["migrate"])]


def test_a_task_that_never_ends_is_stopped(drive: Driver, aws: Aws) -> None:
    """It would go on while the next deploy begins."""
    aws.scheduler.endless.add("verify")
    said = drive.failed(["once", "verify", NEW], step=1)
    assert "verify to end in time, got: still RUNNING, so it was stopped" in said
    assert aws.scheduler.calls.count("StopTask") == 1


def test_a_killed_deploys_task_is_waited_for_and_not_doubled(drive: Driver, aws: Aws) -> None:
    """Two migrations of one version at once would be one too many."""
    aws.scheduler.endless.add("migrate")
    drive.kill(["once", "migrate", NEW], after="RunTask")
    looks = aws.scheduler.calls.count("DescribeTasks")
    with drive.start(["once", "migrate", NEW]) as again:
        drive.until(lambda: aws.scheduler.calls.count("DescribeTasks") > looks + 2, again)
        aws.scheduler.endless.clear()
        assert again.wait(timeout=60) == 0
    assert aws.scheduler.calls.count("RunTask") == 1


@pytest.mark.parametrize("call", ["RegisterTaskDefinition", "CreateService", "DescribeServices"])
def test_a_killed_replacement_goes_on_where_it_was(drive: Driver, aws: Aws, call: str) -> None:
    """One task definition and one service, whenever it was killed."""
    drive.kill(["replace", "api", NEW], after=call)
    drive.done(["replace", "api", NEW])
    assert drive.done(["versions"]) == [{"api": NEW}]
    assert (len(aws.scheduler.versions), len(aws.scheduler.changes)) == (1, 1)


def test_a_role_that_never_becomes_stable_fails_in_time(drive: Driver, aws: Aws) -> None:
    """With the reason that ECS gives, and nothing is put back."""
    drive.done(["replace", "api", OLD])
    aws.scheduler.stuck.add(NEW)
    said = drive.failed(["replace", "api", NEW], step=1)
    assert "expected api to come up in time as order-desk-staging-api:2, got: 0 of 2 tasks (IN_PROGRESS)" in said
    assert "was unable to place a task. Reason: no capacity in this zone" in said
    assert "the service is set to order-desk-staging-api:2" in said


def test_a_deployment_that_ecs_gives_up_and_takes_back_has_failed(drive: Driver, aws: Aws) -> None:
    """The service is stable again after that, and in the wrong version."""
    drive.done(["replace", "api", OLD])
    aws.scheduler.broken.add(NEW)
    said = drive.failed(["replace", "api", NEW])
    assert "ECS deployment circuit breaker: tasks failed to start" in said
    assert "its last task ended with exit code 78, Essential container in task exited" in said
    assert "the service is set to order-desk-staging-api:1" in said
    assert drive.done(["versions"]) == [{"api": OLD}]


def test_a_first_deployment_that_failed_is_begun_anew(drive: Driver, aws: Aws) -> None:
    """ECS has nothing to go back to then, and leaves it FAILED until it is told otherwise."""
    aws.scheduler.broken.add(NEW)
    assert "circuit breaker" in drive.failed(["replace", "beat", NEW])
    aws.scheduler.broken.clear()
    drive.done(["replace", "beat", NEW])
    assert aws.scheduler.changes[-1]["forceNewDeployment"]
