"""What runs on ECS: each role, and what runs once; and the task definitions of both."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from service.queues import QUEUES

PORT = 8000
READY = f"import urllib.request as http; http.urlopen('http://127.0.0.1:{PORT}/health/ready')"
CONTAINER = "service"
# The label of a container that tells whether a definition is the one that is wanted.
FINGERPRINT = "deploy.fingerprint"


@dataclass(frozen=True)
class Role:
    """How one role runs: CPU units, MiB of memory, and the seconds to stop in."""

    command: list[str]
    cpu: int
    memory: int
    stop: int
    probe: list[str]
    alone: bool = False
    entrypoint: list[str] = field(default_factory=list)


ROLES = {
    # What does not end within the queue's grace is handed back in the 10 s after it.
    **{
        f"worker-{name}": Role(["worker", name], 512, 2048, int(queue.grace) + 10, ["./alive", f"worker-{name}"])
        for name, queue in QUEUES.items()
    },
    "beat": Role(["beat"], 256, 512, 30, ["./alive", "beat"], alone=True),
    "api": Role(["api"], 512, 1024, 30, ["python", "-c", READY]),
}
ONCE = {
    "fit": Role(["fit"], 256, 512, 30, [], entrypoint=["python", "-m", "deploy.inside"]),
    "migrate": Role(["migrate"], 256, 512, 30, []),
    "verify": Role(["verify"], 256, 512, 30, [], entrypoint=["python", "-m", "deploy.inside"]),
}


def task_definition(name: str, family: str, image: str, environment: str, place: dict[str, Any]) -> dict[str, Any]:
    """Put the task definition of a role, or of what runs once, together; `place` is the environment's file."""
    role = {**ROLES, **ONCE}[name]
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "command": role.command,
        "memory": role.memory,
        "essential": True,
        "environment": [
            {"name": "ENVIRONMENT", "value": environment},
            {"name": "STATE_DIR", "value": "/tmp"},  # noqa: S108 - a volume of the task's own
        ],
        "secrets": [{"name": key, "valueFrom": address} for key, address in place["secrets"].items()],
        "stopTimeout": role.stop,
        "readonlyRootFilesystem": True,
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp"}],  # noqa: S108 - as above
        "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": place["log_group"],
                "awslogs-region": place["region"],
                "awslogs-stream-prefix": name,
            },
        },
    }
    if role.entrypoint:
        container["entryPoint"] = role.entrypoint
    if name == "verify":
        container["environment"].append({"name": "API_URL", "value": place["api_url"]})
    if role.probe:
        probe = ["CMD", *role.probe]
        container["healthCheck"] = {"command": probe, "interval": 10, "timeout": 5, "startPeriod": 60}
    if name == "api":
        container["portMappings"] = [{"containerPort": PORT}]
    container["dockerLabels"] = {FINGERPRINT: _fingerprint(container, role, place)}
    return {
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(role.cpu),
        "memory": str(role.memory),
        "executionRoleArn": place["execution_role"],
        "taskRoleArn": place["task_role"],
        "volumes": [{"name": "tmp"}],
        "containerDefinitions": [container],
    }


def service_settings(name: str, place: dict[str, Any]) -> dict[str, Any]:
    """How many of a role run, where, and in which order its tasks are replaced: of beat never two at once."""
    alone = ROLES[name].alone
    settings: dict[str, Any] = {
        "desiredCount": place["counts"][name],
        "networkConfiguration": network(place),
        "deploymentConfiguration": {
            "minimumHealthyPercent": 0 if alone else 100,
            "maximumPercent": 100 if alone else 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    }
    if name == "api":
        # Seconds in which a task that starts may fail the load balancer's checks, as its own probe allows.
        settings["healthCheckGracePeriodSeconds"] = 60
    return settings


def network(place: dict[str, Any]) -> dict[str, Any]:
    """Where tasks run."""
    subnets, groups = place["subnets"], place["security_groups"]
    return {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups, "assignPublicIp": "DISABLED"}}


def fingerprint(definition: dict[str, Any]) -> str:
    """What tells a definition that is wanted from one that is there; "" for one that was not made here."""
    return str(definition["containerDefinitions"][0].get("dockerLabels", {}).get(FINGERPRINT, ""))


def version(definition: dict[str, Any]) -> str:
    """The version that a definition runs: the tag of its image."""
    return str(definition["containerDefinitions"][0]["image"]).rpartition(":")[2]


def _fingerprint(container: dict[str, Any], role: Role, place: dict[str, Any]) -> str:
    """Of all that decides how it runs: AWS adds defaults and changes orders, so that definitions do not compare."""
    everything = json.dumps([container, [role.cpu, role.memory], place], sort_keys=True)
    return hashlib.sha256(everything.encode()).hexdigest()[:16]
