"""What runs on ECS: each role, and its task definition."""

from dataclasses import dataclass
from typing import Any

PORT = 8000
READY = f"import urllib.request as http; http.urlopen('http://127.0.0.1:{PORT}/health/ready')"


@dataclass(frozen=True)
class Role:
    """How one role runs: CPU units, MiB of memory, and the seconds to stop in (a queue's grace and 10)."""

    command: list[str]
    cpu: int
    memory: int
    stop: int
    probe: list[str]
    alone: bool = False


ROLES = {
    "worker-fast": Role(["worker", "fast"], 512, 2048, 40, ["./alive", "worker-fast"]),
    "worker-slow": Role(["worker", "slow"], 512, 2048, 100, ["./alive", "worker-slow"]),
    "beat": Role(["beat"], 256, 512, 30, ["./alive", "beat"], alone=True),
    "api": Role(["api"], 512, 1024, 30, ["python", "-c", READY]),
}
MIGRATE = Role(["migrate"], 256, 512, 30, [])


def task_definition(family: str, role: Role, image: str, environment: str, place: dict[str, Any]) -> dict[str, Any]:
    """Put a role's task definition together; `place` is the content of the environment's file."""
    container: dict[str, Any] = {
        "name": "service",
        "image": image,
        "command": role.command,
        "memory": role.memory,
        "essential": True,
        "environment": [
            {"name": "ENVIRONMENT", "value": environment},
            {"name": "STATE_DIR", "value": "/tmp"},  # noqa: S108 - a volume of the task's own
        ],
        "secrets": [{"name": name, "valueFrom": address} for name, address in place["secrets"].items()],
        "stopTimeout": role.stop,
        "readonlyRootFilesystem": True,
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp"}],  # noqa: S108 - as above
        "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": place["log_group"],
                "awslogs-region": place["region"],
                "awslogs-stream-prefix": role.command[0],
            },
        },
    }
    if role.probe:
        probe = ["CMD", *role.probe]
        container["healthCheck"] = {"command": probe, "interval": 10, "timeout": 5, "startPeriod": 60}
    if role.command == ["api"]:
        container["portMappings"] = [{"containerPort": PORT}]
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
