"""Each queue of the policy has its worker wherever workers are named, and no other queue has; `make queue` adds one."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.platform import ROLES
from deploy.release import FORWARD
from local.queue import base
from service import NAME
from service.config import settings
from service.queues import QUEUES
from service.worker.app import configure, load_tasks
from service.worker.task import DurableTask
from tests.support.stack import forget_settings

ROOT = Path(__file__).parents[2]

Names = Callable[[str], Iterator[str]]


def procfile(text: str) -> Iterator[str]:
    for queue, command in re.findall(r"^worker-(\S+): python -m service worker (\S+)$", text, re.MULTILINE):
        assert queue == command
        yield queue


def compose(text: str) -> Iterator[str]:
    for name, service in yaml.safe_load(text)["services"].items():
        if service.get("command", [""])[0] == "worker":
            assert service["command"] == ["worker", name.removeprefix("worker-")]
            yield service["command"][1]


def deployments(text: str) -> Iterator[str]:
    """The workers that a file has a Deployment of, with what it starts if that is said there."""
    for each in yaml.safe_load_all(text):
        name = each["metadata"]["name"]
        if each["kind"] == "Deployment" and name.startswith("worker-"):
            for container in each["spec"].get("template", {"spec": {"containers": []}})["spec"]["containers"]:
                assert container["args"] == name.split("-", 1)
            yield name.removeprefix("worker-")


def accounts(text: str) -> Iterator[str]:
    return _queues(each["metadata"]["name"] for each in yaml.safe_load_all(text))


def kustomization(text: str) -> Iterator[str]:
    """The workers whose file is taken, and whose pods get what all have in common."""
    read = yaml.safe_load(text)
    taken = [*_queues(file.removesuffix(".yaml") for file in read["resources"])]
    assert taken == [*_queues(patch["target"]["name"] for patch in read["patchesJson6902"])]
    yield from taken


def scaled(text: str) -> Iterator[str]:
    """The workers of which KEDA says how many there are."""
    return _queues(file.removesuffix(".yaml") for file in yaml.safe_load(text)["resources"])


def counts(text: str) -> Iterator[str]:
    """How many of a role run on ECS; the stack's file has the same object in what it prints."""
    (found,) = re.findall(r'"counts": (\{[^{}]*\})', text.replace("${Workers}", "1"))
    return _queues(json.loads(found))


def workflow(text: str) -> Iterator[str]:
    steps = yaml.safe_load(text)["jobs"]["deploy"]["steps"]
    targets = [each["run"].rpartition("=")[2] for each in steps if "make deploy" in each.get("run", "")]
    assert targets == [*FORWARD]
    return _queues(targets)


def pipeline(text: str) -> Iterator[str]:
    jobs: dict[str, Any] = yaml.safe_load(text)
    targets = [name for name, job in jobs.items() if isinstance(job, dict) and job.get("extends") == ".target"]
    assert targets == [*FORWARD]
    assert [jobs[target].get("needs", []) for target in targets] == [[], *([before] for before in targets[:-1])]
    return _queues(targets)


def _queues(names: Any) -> Iterator[str]:
    return (name.removeprefix("worker-") for name in names if name.startswith("worker-"))


# A service has those of the places that it was rendered for.
PLACES: dict[str, Names] = {
    "Procfile": procfile,
    "compose.yaml": compose,
    "deploy/compose/compose.yaml": compose,
    "deploy/ecs/account.yaml": counts,
    "deploy/ecs/*.json": counts,
    "deploy/kubernetes/base/accounts.yaml": accounts,
    "deploy/kubernetes/base/kustomization.yaml": kustomization,
    "deploy/kubernetes/keda/kustomization.yaml": scaled,
    "deploy/kubernetes/overlays/*/replicas.yaml": deployments,
    ".github/workflows/deploy.yml": workflow,
    ".gitlab/deploy.yml": pipeline,
}


FOUND = {f"{path.relative_to(ROOT)}": names for place, names in PLACES.items() for path in sorted(ROOT.glob(place))}


@pytest.mark.parametrize("place", FOUND)
def test_every_queue_has_its_worker_in_every_place(place: str) -> None:
    assert [*FOUND[place]((ROOT / place).read_text())] == [*QUEUES]


def test_every_queue_has_a_deployment_where_there_are_some() -> None:
    files = sorted((ROOT / "deploy" / "kubernetes" / "base").glob("worker-*.yaml"))
    found = {path.stem: [*deployments(path.read_text())] for path in files}
    assert found == ({f"worker-{queue}": [queue] for queue in sorted(QUEUES)} if files else {})


def test_keda_asks_about_each_queue_for_its_own_worker() -> None:
    for path in sorted((ROOT / "deploy" / "kubernetes" / "keda").glob("worker-*.yaml")):
        made = yaml.safe_load(path.read_text())
        names = {path.stem, made["metadata"]["name"], made["spec"]["scaleTargetRef"]["name"]}
        names.add(made["metadata"]["labels"]["app.kubernetes.io/component"])
        asked = re.findall(r"queue = '(.+?)'", made["spec"]["triggers"][0]["metadata"]["query"])
        assert [names] == [{f"worker-{queue}"} for queue in asked]
        assert asked[0] in QUEUES


def test_every_queue_is_deployed_before_what_sends_to_it() -> None:
    assert [*ROLES] == [*(f"worker-{queue}" for queue in QUEUES), "beat", "api"]


def test_every_queue_has_a_base_class_and_a_canary() -> None:
    assert {each.kind: each.__name__ for each in DurableTask.__subclasses__()} == {name: base(name) for name in QUEUES}
    assert {name: task.kind for name, task in load_tasks().items() if name.startswith("canary.")} == {
        f"canary.{name}": name for name in QUEUES
    }


@pytest.mark.parametrize(("broker", "suffix"), [("redis://127.0.0.1", ""), ("amqp://127.0.0.1", ".ready")])
def test_every_queue_has_one_of_the_broker(broker: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DATABASE_URL", "sqlite://"), ("BROKER_URL", broker), ("ENVIRONMENT", "test")):
        monkeypatch.setenv(name, value)
    forget_settings()
    conf = configure(settings()).conf
    assert [queue.name for queue in conf.task_queues] == [f"{NAME}.{name}{suffix}" for name in QUEUES]
    assert conf.task_default_queue == conf.task_queues[0].name
    forget_settings()
