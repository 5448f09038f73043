"""ECS's scheduler, as far as a deploy sees it: moto keeps services and tasks, and never moves a service.

What AWS does, in the words of its API reference: a change of a service's task definition makes a new deployment, which
is PRIMARY and IN_PROGRESS, and the one before becomes ACTIVE until its tasks have drained. In the steady state it is
COMPLETED. When tasks fail to start three times, the circuit breaker makes it FAILED and, where there was one that had
completed, begins another deployment of that one's task definition. A task that is told to stop is DEACTIVATING and
STOPPING for as long as its grace, and is listed among the STOPPED from the beginning.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

Answer = dict[str, Any]


@dataclass
class Service:
    """One service: its deployments, newest first, its tasks, and how many of them there were at once."""

    maximum: int
    deployments: list[Answer] = field(default_factory=list)
    tasks: list[Answer] = field(default_factory=list)
    events: list[Answer] = field(default_factory=list)
    looks: int = 0
    together: int = 0

    def count(self) -> None:
        """Look how many there are now; one that stops is still there."""
        self.together = max(self.together, sum(task["lastStatus"] != "STOPPED" for task in self.tasks))


@dataclass
class Scheduler:
    """`stuck` and `broken` name versions that never come up; `exits` and `says`, how what runs once ends.

    `logs` is a client of CloudWatch, which a task's own lines go to.
    """

    logs: Any = None
    stuck: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    exits: dict[str, int] = field(default_factory=dict)
    says: dict[str, list[str]] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)
    services: dict[str, Service] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    changes: list[Answer] = field(default_factory=list)
    number: int = 0

    def reset(self) -> None:
        """Nothing has happened, and all is well."""
        vars(self).update(vars(Scheduler(self.logs)))

    def answer(self, operation: str, asked: Answer, status: int, content: bytes) -> bytes:
        """What moto said, put right."""
        if status != 200:
            return content
        said = json.loads(content)
        match operation:
            case "RegisterTaskDefinition":
                definition = said["taskDefinition"]
                image = definition["containerDefinitions"][0]["image"]
                self.versions[definition["taskDefinitionArn"]] = image.rpartition(":")[2]
            case "CreateService":
                maximum = asked["deploymentConfiguration"]["maximumPercent"]
                self.services[asked["serviceName"]] = Service(maximum)
                self._changed(asked["serviceName"], asked, said["service"])
            case "UpdateService":
                self._changed(asked["service"], asked, said["service"])
            case "DescribeServices":
                for found in said["services"]:
                    self._move(found["serviceName"])
                    self._dress(found["serviceName"], found)
            case "RunTask":
                for task in said["tasks"]:
                    self._write(task)
            case "ListTasks":
                service = self.services.get(asked["family"])
                there = service.tasks if service else []
                said["taskArns"] += [
                    task["taskArn"] for task in there if task["desiredStatus"] == asked["desiredStatus"]
                ]
            case "DescribeTasks":
                for task in said["tasks"]:
                    self._end(task)
                ours = [task for service in self.services.values() for task in service.tasks]
                said["tasks"] += [task for task in ours if task["taskArn"] in asked["tasks"]]
        return json.dumps(said).encode()

    def _write(self, task: Answer) -> None:
        """The lines of what runs once, where its log driver takes them: prefix, container, task."""
        what = once(task)
        group, stream = "order-desk-staging", f"{what}/service/{task['taskArn'].rpartition('/')[2]}"
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in self.says.get(what, ["well done"])]
        self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def _end(self, task: Answer) -> None:
        """Let what runs once end as the test wants it to."""
        what = once(task)
        if what in self.endless and task["desiredStatus"] != "STOPPED":
            task["lastStatus"] = "RUNNING"
        if task["lastStatus"] == "STOPPED":
            task["desiredStatus"] = "STOPPED"
            if what in self.exits:
                task["containers"][0]["exitCode"] = self.exits[what]
                task["stoppedReason"] = "Essential container in task exited"

    def _changed(self, name: str, asked: Answer, found: Answer) -> None:
        service = self.services[name]
        self.changes.append({"name": name, **asked})
        now = service.deployments[0] if service.deployments else None
        if not now or now["taskDefinition"] != asked["taskDefinition"] or asked.get("forceNewDeployment"):
            self._begin(service, asked["taskDefinition"], asked["desiredCount"])
        self._dress(name, found)

    def _begin(self, service: Service, definition: str, count: int) -> None:
        self.number += 1
        for deployment in service.deployments:
            deployment["status"] = "ACTIVE"
        begun = {
            "id": f"ecs-svc/{self.number}",
            "createdAt": time.time(),
            "status": "PRIMARY",
            "taskDefinition": definition,
            "desiredCount": count,
            "pendingCount": count,
            "runningCount": 0,
            "failedTasks": 0,
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": "ECS deployment in progress.",
        }
        service.deployments.insert(0, begun)
        service.looks = 0

    def _move(self, name: str) -> None:
        """One step on, each time that somebody looks."""
        service = self.services[name]
        now = service.deployments[0]
        version = self.versions[now["taskDefinition"]]
        service.looks += 1
        for task in service.tasks:
            if task["desiredStatus"] == "STOPPED":
                task["lastStatus"] = "STOPPED"
        if now["rolloutState"] != "IN_PROGRESS":
            return
        if version in self.stuck:
            self._event(service, f"(service {name}) was unable to place a task. Reason: no capacity in this zone.")
        elif version in self.broken:
            self._fail(service, name, now)
        elif service.looks == 1 and service.maximum == 100:
            self._stop(service)
        elif service.looks == 2:
            service.tasks += [self._task(now, "RUNNING") for _ in range(now["desiredCount"])]
            now.update(pendingCount=0, runningCount=now["desiredCount"])
            service.count()
        elif service.looks == 3:
            self._stop(service, now)
            now.update(rolloutState="COMPLETED")
            service.deployments = [now]

    def _stop(self, service: Service, spared: Answer | None = None) -> None:
        for task in service.tasks:
            if task["lastStatus"] == "RUNNING" and not (
                spared and task["taskDefinitionArn"] == spared["taskDefinition"]
            ):
                task.update(desiredStatus="STOPPED", lastStatus="DEACTIVATING")

    def _fail(self, service: Service, name: str, now: Answer) -> None:
        now["failedTasks"] += 1
        service.tasks.append(self._task(now, "STOPPED", "Essential container in task exited", exitCode=78))
        self._event(service, f"(service {name}) has started 1 tasks: (task 0815).")
        if now["failedTasks"] < 3:
            return
        now.update(rolloutState="FAILED", rolloutStateReason="ECS deployment circuit breaker: tasks failed to start.")
        if len(service.deployments) > 1:
            self._begin(service, service.deployments[1]["taskDefinition"], now["desiredCount"])

    def _task(self, deployment: Answer, status: str, reason: str = "", **container: object) -> Answer:
        self.number += 1
        return {
            "taskArn": f"arn:aws:ecs:eu-north-1:123456789012:task/desk/{self.number:032x}",
            "taskDefinitionArn": deployment["taskDefinition"],
            "desiredStatus": status,
            "lastStatus": status,
            "stoppedReason": reason,
            "containers": [{"name": "service", **container}],
        }

    def _event(self, service: Service, message: str) -> None:
        self.number += 1
        service.events.insert(0, {"id": f"{self.number}", "createdAt": time.time(), "message": message})

    def _dress(self, name: str, found: Answer) -> None:
        service = self.services[name]
        found.update(
            deployments=service.deployments,
            events=service.events[:100],
            taskDefinition=service.deployments[0]["taskDefinition"],
            runningCount=sum(each["runningCount"] for each in service.deployments),
            pendingCount=service.deployments[0]["pendingCount"],
        )


def once(task: Answer) -> str:
    """What a task runs: the last word of its family."""
    return str(task["taskDefinitionArn"].rpartition(":")[0].rpartition("-")[2])
