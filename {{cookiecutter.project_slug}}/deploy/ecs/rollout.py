"""A service of ECS on its way to a task definition."""

import time
from dataclasses import dataclass
from typing import Any

from deploy.ecs.aws import brief
from deploy.ecs.definition import CONTAINER, PORT
from deploy.ecs.tasks import Tasks
from deploy.platform import Failed

# How many of a service's last events a sentence has room for.
EVENTS = 3


@dataclass(frozen=True)
class Rollout:
    """One role's service; its name is that of its task definitions."""

    role: str
    service: str
    tasks: Tasks

    def found(self) -> dict[str, Any] | None:
        """The service, if there is one."""
        said = self.tasks.ecs.describe_services(cluster=self.tasks.cluster, services=[self.service])["services"]
        return next((service for service in said if service["status"] == "ACTIVE"), None)

    def begin(self, definition: str, settings: dict[str, Any], target_group: str) -> str:
        """Create the service or change it, unless it is as it should be, and give the deployment that does so."""
        ecs, cluster = self.tasks.ecs, self.tasks.cluster
        service = self.found()
        if service is None:
            front = {"targetGroupArn": target_group, "containerName": CONTAINER, "containerPort": PORT}
            service = ecs.create_service(
                cluster=cluster,
                serviceName=self.service,
                taskDefinition=definition,
                launchType="FARGATE",
                loadBalancers=[front] if self.role == "api" else [],
                **settings,
            )["service"]
            return str(_primary(service)["id"])
        now = _primary(service)
        same = now["taskDefinition"] == definition
        failed = now.get("rolloutState") == "FAILED"
        if same and not failed and service["desiredCount"] == settings["desiredCount"]:
            return str(now["id"])
        # One that has failed stays so until it is told to begin anew.
        service = ecs.update_service(
            cluster=cluster,
            service=self.service,
            taskDefinition=definition,
            forceNewDeployment=same and failed,
            **settings,
        )["service"]
        return str(_primary(service)["id"])

    def wait(self, deployment: str, definition: str, deadline: float) -> None:
        """Wait until the deployment is complete, and the last task of any other version has ended.

        Raises:
            Failed: ECS gave it up (its circuit breaker puts the version before back), or the deadline has passed.
        """
        seen = False
        while True:
            service = self.found()
            if service is None:
                # One that was just made may not be known everywhere.
                if seen or time.monotonic() > deadline:
                    raise Failed(f"expected a service {self.service}, got: none; somebody deleted it, deploy again")
                time.sleep(self.tasks.pause)
                continue
            mine = next((each for each in service["deployments"] if each["id"] == deployment), None)
            seen = seen or mine is not None
            if mine is None:
                # An answer may be older than the change; one that was there and is not was put away.
                state = "another deployment in its place" if seen else "no trace of it yet"
            else:
                state = (
                    f"{mine['runningCount']} of {mine['desiredCount']} tasks ({mine.get('rolloutState', 'unknown')})"
                )
            if (mine is None and seen) or (
                mine and (mine.get("rolloutState") == "FAILED" or mine["status"] != "PRIMARY")
            ):
                raise self._failed("come up", state, service, mine, definition)
            if mine and mine.get("rolloutState") == "COMPLETED" and service["runningCount"] == service["desiredCount"]:
                others = self._others(definition)
                if len(service["deployments"]) == 1 and not others:
                    return
                state = f"{', '.join(others) or 'a task'} of another version still there"
            if time.monotonic() > deadline:
                raise self._failed("come up in time", state, service, mine, definition)
            time.sleep(self.tasks.pause)

    def _others(self, definition: str) -> list[str]:
        """The states of tasks that have not ended and run another definition, those that drain and stop among them."""
        there = [*self.tasks.family(self.service, "RUNNING"), *self.tasks.family(self.service, "STOPPED")]
        states = {task["taskArn"]: task["lastStatus"] for task in there if task["taskDefinitionArn"] != definition}
        return sorted({state for state in states.values() if state != "STOPPED"})

    def _failed(
        self,
        expected: str,
        state: str,
        service: dict[str, Any],
        mine: dict[str, Any] | None,
        definition: str,
    ) -> Failed:
        """With the reasons that ECS has: of the deployment, of the service, and of the newest task that ended."""
        ended = [task for task in self.tasks.family(self.service, "STOPPED") if task["taskDefinitionArn"] == definition]
        since = mine["createdAt"] if mine else service["createdAt"]
        events = [event["message"] for event in service.get("events", []) if event["createdAt"] >= since][:EVENTS]
        reasons = [state, (mine or {}).get("rolloutStateReason", ""), *events]
        if ended:
            last = max(ended, key=lambda task: task.get("stoppedAt") or since)
            reasons.append(f"its last task ended with {self.tasks.why(last)}{self.tasks.tail(last, self.role)}")
        now = _primary(service)["taskDefinition"].rpartition("/")[2]
        return Failed(
            f"expected {self.role} to {expected} as {definition.rpartition('/')[2]}, got: "
            f"{brief('; '.join(reason.rstrip('.') for reason in reasons if reason))}; the service is set to {now}, "
            "so mend the reason and deploy again, or the version before"
        )


def _primary(service: dict[str, Any]) -> dict[str, Any]:
    """The deployment that the service is on its way to."""
    found: dict[str, Any] = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
    return found
