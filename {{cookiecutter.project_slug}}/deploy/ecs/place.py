"""The service on Amazon ECS: what `deploy/platform.py` asks of a place, in the words of boto3.

The cluster, its network, the roles and the secrets exist already; the environment's file beside this one names them.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deploy.ecs.aws import QUICK, asked, client, code
from deploy.ecs.definition import fingerprint, network, service_settings, task_definition, version
from deploy.ecs.lock import Lock
from deploy.ecs.reach import PERMIT, demand_place, demand_version
from deploy.ecs.rollout import Rollout
from deploy.ecs.settings import Settings, missing, read
from deploy.ecs.tasks import Tasks
from deploy.platform import ROLES, STEP_SECONDS, Failed, Once, Record, Refused
from service import NAME

PAUSE_SECONDS = 2.0


def open(environment: str) -> "Ecs":  # noqa: A001 - the name that every place has
    """The place of one environment.

    Raises:
        Refused: there is none of this name.
    """
    return Ecs(environment, read(environment))


@dataclass(frozen=True)
class Ecs:
    """One environment on one cluster; `step` and `pause` are the seconds of a step, and between two looks at it."""

    environment: str
    settings: Settings
    step: float = STEP_SECONDS
    pause: float = PAUSE_SECONDS
    image: str = field(default_factory=lambda: os.environ.get("IMAGE", ""))

    def reach(self, version: str) -> None:
        self._demand_settings()
        demand_place(self.settings, f"deploy/ecs/{self.environment}.json")
        demand_version(self.image, version)

    def lock(self, holder: str) -> None:
        self._lock.take(holder)

    def unlock(self, holder: str) -> None:
        self._lock.give()

    def record(self) -> Record | None:
        # Before a way back this is the first that is asked, so it gives up as soon as reach does.
        self._demand_settings()
        name = self._parameter("record")
        with asked(Refused, f"to read the last deploy from the parameter {name}", PERMIT):
            try:
                ssm = client("ssm", self.settings["region"], QUICK)
                value = ssm.get_parameter(Name=name)["Parameter"]["Value"]
            except ClientError as error:
                if code(error) != "ParameterNotFound":
                    raise
                return None
        try:
            return Record(**json.loads(value))
        except (TypeError, ValueError):
            remedy = f"aws ssm delete-parameter --region {self.settings['region']} --name {name}"
            raise Refused(f"expected {name} to hold a record of a deploy, got: {value[:80]!r}; {remedy}") from None

    def remember(self, record: Record) -> None:
        name = self._parameter("record")
        with asked(Failed, f"to keep the record of this deploy in the parameter {name}", PERMIT):
            self._ssm.put_parameter(Name=name, Value=json.dumps(record.fields()), Type="String", Overwrite=True)

    def versions(self) -> Mapping[str, str]:
        there = {}
        with asked(Refused, f"to see the services of the cluster {self.settings['cluster']}", PERMIT):
            for role in ROLES:
                if service := self._rollout(role).found():
                    said = self._ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
                    there[role] = version(said["taskDefinition"])
        return there

    def once(self, what: Once, version: str) -> str:
        deadline = time.monotonic() + self.step
        with asked(Failed, f"to run {what} on ECS", PERMIT):
            definition = self._definition(what, version)
            task = self._tasks.run(what, definition, network(self.settings), deadline)
            if self._tasks.container(task).get("exitCode") != 0:
                why = f"{self._tasks.why(task)}{self._tasks.tail(task, what)}"
                raise Failed(f"expected {what} to exit with 0, got: {why}; mend that, and deploy again")
            return self._tasks.log(task, what)

    def replace(self, role: str, version: str) -> None:
        deadline = time.monotonic() + self.step
        rollout = self._rollout(role)
        with asked(Failed, f"to replace {role} on ECS", f"{PERMIT}; deploy again, or the version before"):
            definition = self._definition(role, version)
            settings = service_settings(role, self.settings)
            deployment = rollout.begin(definition, settings, self.settings["target_group"])
            rollout.wait(deployment, definition, deadline)

    def _definition(self, name: str, version: str) -> str:
        """The address of the task definition that is wanted; the newest one of its family may be it."""
        family = self._family(name)
        wanted = task_definition(name, family, f"{self.image}:{version}", self.environment, self.settings)
        try:
            newest = self._ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
        except ClientError as error:
            # So it says that there is none.
            if code(error) != "ClientException":
                raise
        else:
            if fingerprint(newest) == fingerprint(wanted):
                return str(newest["taskDefinitionArn"])
        return str(self._ecs.register_task_definition(**wanted)["taskDefinition"]["taskDefinitionArn"])

    def _demand_settings(self) -> None:
        """Name all that is missing at once."""
        lacking = [f"{name} in deploy/ecs/{self.environment}.json" for name in missing(self.settings)]
        lacking += [] if self.image else ["IMAGE, an image's address without its tag, in the environment"]
        key = os.environ.get("DEPLOY_KEY_FILE")
        if key and not Path(key).is_file():
            lacking.append(f"the file {key}, which DEPLOY_KEY_FILE names")
        if lacking:
            raise Refused(f"expected all settings to be there, got: no {', no '.join(lacking)}; fill them in")

    def _family(self, name: str) -> str:
        return f"{NAME}-{self.environment}-{name}"

    def _parameter(self, name: str) -> str:
        return f"/{NAME}/{self.environment}/deploy/{name}"

    def _rollout(self, role: str) -> Rollout:
        return Rollout(role, self._family(role), self._tasks)

    @cached_property
    def _ecs(self) -> Any:
        return client("ecs", self.settings["region"])

    @cached_property
    def _ssm(self) -> Any:
        return client("ssm", self.settings["region"])

    @cached_property
    def _lock(self) -> Lock:
        return Lock(self._ssm, self._parameter("lock"), self.settings["region"])

    @cached_property
    def _tasks(self) -> Tasks:
        logs = client("logs", self.settings["region"])
        return Tasks(self._ecs, logs, self.settings["cluster"], self.settings["log_group"], self.pause)
