"""Tasks on the cluster: those that run once and end, and why one ended."""

import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy.ecs.aws import brief
from deploy.ecs.definition import CONTAINER
from deploy.platform import Failed

Task = dict[str, Any]

# Lines of a task's log that are passed on, and seconds that CloudWatch may take to have them.
LINES = 20
LOG_SECONDS = 5


@dataclass(frozen=True)
class Tasks:
    """The tasks of one cluster, and the log group that they write to."""

    ecs: Any
    logs: Any
    cluster: str
    log_group: str
    pause: float

    def family(self, family: str, desired: str) -> list[Task]:
        """The newest hundred tasks of a family that are to be RUNNING, or to be STOPPED."""
        found = self.ecs.list_tasks(cluster=self.cluster, family=family, desiredStatus=desired)["taskArns"]
        return self._described(found) if found else []

    def run(self, what: str, definition: str, network: dict[str, Any], deadline: float) -> Task:
        """Start a task and wait for its end; one that a killed deploy started is waited for instead.

        Raises:
            Failed: it did not start, or has not ended by the deadline; then it is stopped.
        """
        family = definition.rpartition("/")[2].rpartition(":")[0]
        same = [task for task in self.family(family, "RUNNING") if task["taskDefinitionArn"] == definition]
        there = [task for task in same if task["lastStatus"] != "STOPPED"]
        if not there:
            said = self.ecs.run_task(
                cluster=self.cluster, taskDefinition=definition, launchType="FARGATE", networkConfiguration=network
            )
            there = said["tasks"]
            if not there:
                why = "; ".join(f"{each.get('reason')} {each.get('detail', '')}".strip() for each in said["failures"])
                raise Failed(f"expected {what} to start, got: {brief(why or 'no task')}; mend that, and deploy again")
        address = there[0]["taskArn"]
        while True:
            (task,) = self._described([address]) or there[:1]
            if task["lastStatus"] == "STOPPED":
                return task
            if time.monotonic() > deadline:
                self.ecs.stop_task(cluster=self.cluster, task=address, reason=f"{what} took too long for a deploy")
                raise Failed(
                    f"expected {what} to end in time, got: still {task['lastStatus']}, so it was stopped"
                    f"{self.tail(task, what)}; see why it takes so long, and deploy again"
                )
            time.sleep(self.pause)

    def container(self, task: Task) -> dict[str, Any]:
        """The service's own container; AWS may have put others beside it."""
        return next((each for each in task["containers"] if each["name"] == CONTAINER), {})

    def why(self, task: Task) -> str:
        """Why a task ended, in the words of ECS."""
        container = self.container(task)
        exit_code = f"exit code {container['exitCode']}" if "exitCode" in container else ""
        reasons = [exit_code, container.get("reason"), task.get("stoppedReason")]
        return brief(", ".join(reason for reason in reasons if reason) or "no reason")

    def log(self, task: Task, name: str) -> str:
        """The last lines that a task wrote; none where they cannot be read, which is no reason to stop a deploy."""
        stream = f"{name}/{CONTAINER}/{task['taskArn'].rpartition('/')[2]}"
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            try:
                said = self.logs.get_log_events(logGroupName=self.log_group, logStreamName=stream, limit=LINES)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    return ""
                said = {"events": []}
            except BotoCoreError:
                return ""
            if said["events"] or time.monotonic() > deadline:
                return "\n".join(event["message"].rstrip() for event in said["events"])
            time.sleep(min(self.pause, 1))

    def tail(self, task: Task, name: str) -> str:
        """The same for a sentence: its last words, or where to look for them."""
        text = self.log(task, name)
        last = " ".join(text.splitlines()[-3:])
        return f", saying: {brief(last)}" if last else f" (log group {self.log_group} may say more)"

    def _described(self, addresses: list[str]) -> list[Task]:
        return list(self.ecs.describe_tasks(cluster=self.cluster, tasks=addresses)["tasks"])
