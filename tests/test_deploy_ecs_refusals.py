"""What keeps a deploy to Amazon ECS from beginning: settings, credentials, AWS itself, and another deploy."""

import json
import time
from contextlib import closing
from pathlib import Path
from socket import create_server
from threading import Barrier

import pytest
import yaml

from tests import ecs_driver
from tests.aws import IMAGE, REGION, Aws
from tests.conftest import Render
from tests.ecs_driver import Driver, Step, write_key

pytestmark = pytest.mark.deploys
server, aws, drive = ecs_driver.server, ecs_driver.aws, ecs_driver.drive

VERSION = "1a2b3c4"
REACH: Step = ["reach", VERSION]
LOCK = "/order-desk/staging/deploy/lock"
BREAK = f"aws ssm delete-parameter --region {REGION} --name {LOCK}"
# As platform.py has it, and what a process takes to begin on a busy machine.
REACH_SECONDS, BUSY_SECONDS = 15, 10


def test_an_environment_that_nobody_made_is_refused(drive: Driver) -> None:
    """Naming those that there are."""
    assert "TARGET_ENV to be one of production, staging, got: stagging" in drive.refused(REACH, name="stagging")


def test_all_that_is_missing_is_named_at_once(drive: Driver, render: Render) -> None:
    """The file as it was rendered, no image, and a key that is not there."""
    blank = (render(deploy="ecs") / "deploy" / "ecs" / "staging.json").read_text()
    drive.file.write_text(blank)
    said = drive.refused(REACH, IMAGE="", DEPLOY_KEY_FILE="/nowhere")
    for name in [*json.loads(blank), "IMAGE", "/nowhere", "secrets.DATABASE_URL"]:
        assert name in said or name == "counts", name


@pytest.mark.parametrize("wrong", ["{", "[]", '{"counts": {"api": "two"}, "subnets": [""]}'])
def test_a_file_that_is_no_settings_is_refused(drive: Driver, wrong: str) -> None:
    """Whatever somebody wrote into it."""
    drive.file.write_text(wrong)
    assert "deploy/ecs/staging.json" in drive.refused(REACH)


def test_what_is_reached_is_a_cluster_that_is_active_and_an_image_that_is_there(drive: Driver, aws: Aws) -> None:
    """All of it is asked before anything is changed."""
    drive.done(REACH)
    said = drive.refused(["reach", "0000000"])
    assert f"expected the image {IMAGE}:0000000 in its registry, got: none" in said
    assert "got: RepositoryNotFoundException" in drive.refused(REACH, IMAGE=IMAGE.replace("/desk", "/desks"))
    assert "expected the registry 127.0.0.1:1 to answer" in drive.refused(REACH, IMAGE="127.0.0.1:1/desk")
    aws.client("ecs").delete_cluster(cluster="order-desk-staging")
    assert f"the cluster order-desk-staging in {REGION} to be ACTIVE, got: " in drive.refused(REACH)
    drive.file.write_text(drive.file.read_text().replace('"order-desk-staging"', '"desk"'))
    assert f"the cluster desk in {REGION} to be ACTIVE, got: none" in drive.refused(REACH)


def test_a_target_group_that_holds_on_to_old_tasks_for_too_long_is_refused(drive: Driver, aws: Aws) -> None:
    """AWS's default of five minutes is a whole step; the sentence has the command that changes it."""
    group = json.loads(drive.file.read_text())["target_group"]
    aws.drain(group, 300)
    said = drive.refused(REACH)
    assert "to be at most 120, got: 300; aws elbv2 modify-target-group-attributes" in said
    drive.file.write_text(drive.file.read_text().replace(group, f"{group[:-1]}x"))
    assert "got: TargetGroupNotFound" in drive.refused(REACH)


def test_credentials_that_nobody_gave_let_nobody_in(drive: Driver, aws: Aws) -> None:
    """None at all, and those of somebody who is not there."""
    assert "Unable to locate credentials; set DEPLOY_KEY_FILE" in drive.refused(REACH, DEPLOY_KEY_FILE="")
    aws.demand_credentials()
    assert f"AWS in {REGION} to let the deploy in, got: InvalidClientTokenId: " in drive.refused(REACH)


def test_an_endpoint_that_never_answers_is_given_up(drive: Driver) -> None:
    """It takes the connection, and then nothing comes."""
    with closing(create_server(("127.0.0.1", 0))) as deaf:
        began = time.monotonic()
        said = drive.refused(REACH, AWS_ENDPOINT_URL=f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert time.monotonic() - began < REACH_SECONDS + BUSY_SECONDS
    assert f"expected AWS in {REGION} to let the deploy in, got: Read timeout on endpoint URL" in said


def test_a_lock_is_held_against_others(drive: Driver, aws: Aws) -> None:
    """Of the same name, too, since two pipelines of one person on one machine have it; the command breaks it."""
    drive.done(["lock", "Ada"], ["unlock", "Ada"], ["unlock", "Ada"], ["lock", "Ada"])
    for name in ("Ada", "Bob"):
        said = drive.refused(["lock", name])
        assert "got: one of Ada since " in said
        assert BREAK in said
    drive.done(["unlock", "Ada"])
    assert "one of Ada" in drive.refused(["lock", "Bob"])
    aws.client("ssm").delete_parameter(Name=LOCK)
    drive.done(["lock", "Bob"])


def test_of_two_that_find_a_leftover_one_has_it(drive: Driver, aws: Aws) -> None:
    """Both read it at the same time, an hour after its holder died; one of them is told who was first."""
    drive.done(["lock", "the dead"])
    aws.parameters.dead, aws.parameters.meet = "the dead", Barrier(2)
    runs = {name: drive.start(["lock", name]) for name in ("Ada", "Bob")}
    said = {name: run.communicate(timeout=60)[1] for name, run in runs.items()}
    codes = {run.returncode: name for name, run in runs.items()}
    assert set(codes) == {0, 1}, said
    assert f"one of {codes[0]} since" in said[codes[1]]
    assert f"one of {codes[0]} since" in drive.refused(["lock", "Eve"])


def test_a_record_that_is_none_is_refused(drive: Driver, aws: Aws) -> None:
    """With the command that takes it away."""
    name = "/order-desk/staging/deploy/record"
    aws.client("ssm").put_parameter(Name=name, Value="nonsense", Type="String")
    assert f"aws ssm delete-parameter --region {REGION} --name {name}" in drive.refused(["record"])


def test_the_policy_of_the_pipeline_permits_a_deploy_and_nothing_else(drive: Driver, aws: Aws, tmp_path: Path) -> None:
    """Moto looks at actions, and knows nothing of resources and conditions: those are taken out for it."""
    account = yaml.safe_load((drive.file.parent / "account.yaml").read_text())
    policy = account["Resources"]["Deployer"]["Properties"]["PolicyDocument"]
    permitted = {action for each in policy["Statement"] for action in flat(each["Action"])}
    for statement in policy["Statement"]:
        statement.pop("Condition", None)
        statement["Resource"] = "*"
    write_key(tmp_path, aws.key("deployer", policy))
    aws.demand_credentials()
    aws.scheduler.endless.add("fit")
    aws.scheduler.calls.clear()
    drive.failed(REACH, ["lock", "me"], ["once", "fit", VERSION], step=1)
    aws.scheduler.endless.clear()
    drive.done(["record"], ["once", "migrate", VERSION], ["replace", "beat", VERSION], ["replace", "beat", "5d6e7f8"])
    record = {"version": VERSION, "before": "", "state": "done"}
    aws.parameters.dead = "me"
    drive.done(["lock", "her"], ["versions"], ["remember", record], ["unlock", "her"])
    used = {action.partition(":")[2] for action in permitted} - {"PassRole"}
    assert set(aws.scheduler.calls) - {"GetCallerIdentity"} == used


def test_credentials_that_may_not_look_are_told_what_to_ask_for(drive: Driver, aws: Aws, tmp_path: Path) -> None:
    """They are valid, and somebody has forgotten the policy."""
    other = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    write_key(tmp_path, aws.key("deployer", {"Version": "2012-10-17", "Statement": [other]}))
    aws.demand_credentials()
    said = drive.refused(REACH)
    assert "to see the cluster order-desk-staging, got: AccessDenied" in said
    assert "deploy/ecs/account.yaml" in said


def flat(actions: str | list[str]) -> list[str]:
    """One action or several."""
    return [actions] if isinstance(actions, str) else actions
