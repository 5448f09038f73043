# /// script
# requires-python = ">=3.11"
# dependencies = ["boto3>=1.44,<2"]
# ///
"""Deploy one version to Amazon ECS on Fargate: `deploy ENVIRONMENT VERSION [TARGET…]`.

Without a target it does all of them, in the order of ROLES: a worker must know a task before anyone sends it.
The cluster, its network, the roles and the secrets exist already; ENVIRONMENT.json beside this file names them.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from definition import MIGRATE, PORT, ROLES, Role, task_definition

SERVICE = Path(__file__).resolve().parents[2].name
WAIT = {"Delay": 5, "MaxAttempts": 120}
TARGETS = ["migrate", *ROLES, "verify"]


class Refused(Exception):
    """The deploy cannot start, or did not end well; the message says what state things are in."""


@dataclass(frozen=True)
class Place:
    """One environment: what its file says, and the client that speaks to its region."""

    environment: str
    image: str
    file: dict[str, Any]
    ecs: Any

    def family(self, role: str) -> str:
        """Name the role's task definitions and its service."""
        return f"{SERVICE}-{self.environment}-{role}"

    @property
    def network(self) -> dict[str, Any]:
        """Say where tasks run."""
        subnets, groups = self.file["subnets"], self.file["security_groups"]
        return {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups, "assignPublicIp": "DISABLED"}}

    def register(self, name: str, role: Role) -> str:
        """Register the role's task definition for the image, and give its address."""
        definition = task_definition(self.family(name), role, self.image, self.environment, self.file)
        return str(self.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"])

    def migrate(self) -> None:
        """Run the migrations as a task, and wait for its end."""
        definition = self.register("migrate", MIGRATE)
        cluster = self.file["cluster"]
        started = self.ecs.run_task(
            cluster=cluster, taskDefinition=definition, launchType="FARGATE", networkConfiguration=self.network
        )
        if started["failures"]:
            raise Refused(f"expected migrate to start, got: {started['failures']}; nothing was deployed")
        tasks = [task["taskArn"] for task in started["tasks"]]
        self.ecs.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=tasks, WaiterConfig=WAIT)
        task = self.ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"][0]
        code = task["containers"][0].get("exitCode")
        if code != 0:
            raise Refused(
                f"expected migrate to exit with 0, got: {code} ({task.get('stoppedReason', 'no reason')}); "
                f"nothing else was deployed, the old version runs on; the log group {self.file['log_group']} says why"
            )

    def deploy(self, name: str) -> None:
        """Move a role's service to the image, and wait until it runs there."""
        role, cluster, family = ROLES[name], self.file["cluster"], self.family(name)
        definition = self.register(name, role)
        settings = {
            "cluster": cluster,
            "taskDefinition": definition,
            "desiredCount": self.file["counts"][name],
            "networkConfiguration": self.network,
            "deploymentConfiguration": {
                "minimumHealthyPercent": 0 if role.alone else 100,
                "maximumPercent": 100 if role.alone else 200,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            },
        }
        if self._service(name):
            self.ecs.update_service(service=family, **settings)
        else:
            front = {"targetGroupArn": self.file["target_group"], "containerName": "service", "containerPort": PORT}
            settings["loadBalancers"] = [front] if name == "api" else []
            self.ecs.create_service(serviceName=family, launchType="FARGATE", **settings)
        self.ecs.get_waiter("services_stable").wait(cluster=cluster, services=[family], WaiterConfig=WAIT)
        self.verify(name)

    def verify(self, name: str) -> None:
        """Compare the image that runs with the one that should: a failed deployment goes back by itself."""
        service = self._service(name)
        if not service:
            raise Refused(f"expected a service {self.family(name)}, got: none; deploy {name} first")
        definition = self.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        image = definition["containerDefinitions"][0]["image"]
        if image != self.image or service["runningCount"] < service["desiredCount"]:
            raise Refused(
                f"expected {name} to run {self.image}, got: {service['runningCount']} of {service['desiredCount']} "
                f"tasks of {image}; what was deployed before it stays; deploy again, or deploy the version before"
            )

    def _service(self, name: str) -> dict[str, Any] | None:
        found = self.ecs.describe_services(cluster=self.file["cluster"], services=[self.family(name)])["services"]
        return next((service for service in found if service["status"] == "ACTIVE"), None)


def place(environment: str, version: str) -> Place:
    """Read the environment's file, and refuse what it leaves out."""
    path = Path(__file__).with_name(f"{environment}.json")
    if not environment or not path.is_file():
        raise Refused(f"expected TARGET_ENV to be staging or production, got: {environment or 'nothing'}")
    if not version:
        raise Refused("expected VERSION to name what to deploy, got: nothing; it is the tag of an image")
    if not os.environ.get("IMAGE"):
        raise Refused("expected IMAGE to name the image without its tag, got: nothing; set it to its address")
    file = json.loads(path.read_text())
    empty = [name for name, value in file.items() if value in ("", [], {})]
    if empty:
        raise Refused(f"expected {path.name} to name what is there, got: nothing for {', '.join(empty)}; fill it in")
    return Place(environment, f"{os.environ['IMAGE']}:{version}", file, boto3.client("ecs", region_name=file["region"]))


def main(environment: str = "", version: str = "", *targets: str) -> None:
    """Deploy the targets, each when the one before it is done."""
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        raise Refused(f"expected TARGET to be one of {', '.join(TARGETS)}, got: {unknown[0]}")
    there = place(environment, version)
    for target in targets or TARGETS:
        print(f"{environment}: {target} -> {version}", flush=True)
        if target == "migrate":
            there.migrate()
        elif target == "verify":
            for role in ROLES:
                there.verify(role)
        else:
            there.deploy(target)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Refused as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError, WaiterError) as error:
        sys.exit(f"expected AWS to do as asked, got: {error}; targets printed above the last one are deployed")
