"""One namespace of a cluster, as far as deploys see it: what is there, and what becomes of it, look by look.

Nothing happens by the clock: deployments and jobs get on each time that somebody looks at them.
"""

import itertools
import re
from collections import defaultdict
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import kubernetes_validate

Object = dict[str, Any]

COMPONENT = "app.kubernetes.io/component"
# What the containers of a pod wait for, and the message that a kubelet gives with it.
WAITING = {
    "no-image": ("ImagePullBackOff", 'Back-off pulling image "desk": not found'),
    "no-secret": ("CreateContainerConfigError", 'secret "secrets" not found'),
    "crashes": ("CrashLoopBackOff", "back-off 40s restarting failed container=service pod=desk"),
}


class Cluster:
    """Objects by kind and name; `fate` says how a component fares in a version, and is "well" where it says nothing."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.objects: dict[tuple[str, str], Object] = {}
        self.fate: dict[tuple[str, str], str] = {}
        self.done: list[str] = []
        self.applied: dict[str, list[str]] = defaultdict(list)
        self._numbers = itertools.count(1)
        self._looks: dict[tuple[str, str], int] = {}
        self._before: dict[str, Object] = {}

    def there(self, kind: str, name: str) -> Object | None:
        """One object."""
        return self.objects.get((kind, name))

    def those(self, kind: str, labels: dict[str, str]) -> list[Object]:
        """All of a kind that have these labels, after another moment has passed."""
        if labels and kind in {"Deployment", "Job"}:
            for each in list(self.objects.values()):
                if each["kind"] == kind and labels.items() <= each["metadata"].get("labels", {}).items():
                    self._get_on(each)
        found = (
            self._pods() if kind == "Pod" else [deepcopy(each) for key, each in self.objects.items() if key[0] == kind]
        )
        return [each for each in found if labels.items() <= each["metadata"].get("labels", {}).items()]

    def events(self, about: str) -> list[Object]:
        """What the cluster warned of."""
        pod = next((each for each in self._pods() if each["metadata"]["name"] == about), None)
        if not pod or self._fate(pod) != "unready":
            return []
        probe = {"reason": "Unhealthy", "message": "Startup probe failed: no heartbeat", "type": "Warning"}
        return [{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "probe"}, "lastTimestamp": _now(), **probe}]

    def log(self, pod: str) -> str:
        """What it printed."""
        found = next(each for each in self._pods() if each["metadata"]["name"] == pod)
        return {
            "crashes": "expected DATABASE_URL, got: nothing\n",
            "fails": "going on\nexpected the table to be there, got: none\n",
        }.get(self._fate(found), f"{found['metadata']['labels'][COMPONENT]} did it\n")

    def put(self, thing: Object) -> Object:
        """Make or change an object; its generation counts the changes of what is wanted of it."""
        if thing["kind"] != "ScaledObject":
            kubernetes_validate.validate(thing, "1.33", strict=True)
        key = thing["kind"], thing["metadata"]["name"]
        old = self.objects.get(key)
        if thing["kind"] == "Deployment":
            # A number that whoever applies does not name is somebody else's, and stays.
            thing = {**thing, "spec": {"replicas": old["spec"]["replicas"] if old else 1, **thing["spec"]}}
        kept: Object = deepcopy(old["metadata"]) if old else {"uid": f"uid-{next(self._numbers)}", "generation": 0}
        new = {**thing, "metadata": {**kept, **thing["metadata"], "resourceVersion": str(next(self._numbers))}}
        new["metadata"]["namespace"] = self.namespace
        if old and "status" in old:
            new["status"] = old["status"]
        if not old or old.get("spec") != new.get("spec"):
            new["metadata"]["generation"] = kept["generation"] + 1
            self._looks[key] = 0
            if new["kind"] == "Job":
                self.done.append(f"{key[1]} {_version(new)}")
            if new["kind"] == "Deployment":
                self.done.append(f"{key[1]} {_version(new)}")
                if old:
                    self._before[key[1]] = old
        self.objects[key] = new
        component = new["metadata"].get("labels", {}).get(COMPONENT, "")
        self.applied[component].append(f"{key[0]} {key[1]}")
        return new

    def delete(self, kind: str, name: str) -> None:
        """Tell it to end; it is there until it has."""
        self.objects[kind, name]["metadata"]["deletionTimestamp"] = _now()

    def gone(self, kind: str, name: str) -> Object:
        """It has ended."""
        assert "deletionTimestamp" in self.objects[kind, name]["metadata"]
        return self.objects.pop((kind, name))

    def _get_on(self, thing: Object) -> None:
        key = thing["kind"], thing["metadata"]["name"]
        self._looks[key] += 1
        looks, fate = self._looks[key], self._fate(thing)
        if thing["kind"] == "Job":
            over = {"well": "Complete", "fails": "Failed"}.get(fate) if looks > 2 else None
            reason = {"type": over, "status": "True", "reason": "BackoffLimitExceeded", "message": "has failed"}
            thing["status"] = {"conditions": [reason]} if over else {"active": 1}
            return
        if looks == 1:
            return  # Nobody in the cluster has noticed the change yet.
        wanted = thing["spec"]["replicas"]
        status = {"observedGeneration": thing["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted}
        ready = wanted if fate in {"well", "lost"} and looks > 2 else 0
        conditions = []
        if fate == "gives-up" and looks > 3:
            late = {"reason": "ProgressDeadlineExceeded", "message": 'ReplicaSet "desk-1" has timed out progressing.'}
            conditions.append({"type": "Progressing", "status": "False", **late})
        if fate == "forbidden":
            status |= {"replicas": 0, "updatedReplicas": 0}
            no = {"reason": "FailedCreate", "message": 'pods "desk-1" is forbidden: exceeded quota: compute'}
            conditions.append({"type": "ReplicaFailure", "status": "True", **no})
        thing["status"] = status | {"availableReplicas": ready, "conditions": conditions}

    def _pods(self) -> list[Object]:
        made = []
        for (kind, name), each in self.objects.items():
            if kind not in {"Deployment", "Job"} or self._fate(each) == "forbidden":
                continue
            looks = self._looks[kind, name]
            old = self._before.get(name)
            # The last of the old pods ends its work when all of the new ones are ready; that of a lost node, never.
            lost = bool(old) and self._fate(old or {}) == "lost"
            if kind == "Deployment" and old and _version(old) != _version(each) and (looks <= 4 or lost):
                made.append(self._pod(old, "old", None if looks == 1 else -60 if lost else 100))
            if kind == "Job" or looks > 1:
                made.append(self._pod(each, "new"))
        return made

    def _pod(self, owner: Object, which: str, leaving: int | None = None) -> Object:
        name, kind, version = owner["metadata"]["name"], owner["kind"], _version(owner)
        pod: Object = deepcopy(owner["spec"]["template"])
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"]["namespace"] = self.namespace
        pod["metadata"]["name"] = re.sub(r"\W", "-", f"{name}-{version}-{which}")
        pod["metadata"]["ownerReferences"] = [{"kind": kind, "name": name, "uid": owner["metadata"]["uid"]}]
        if leaving is not None:
            pod["metadata"]["deletionTimestamp"] = _now(timedelta(seconds=leaving))
        pod["status"] = self._status(owner)
        return pod

    def _status(self, owner: Object) -> Object:
        fate = self._fate(owner)
        if fate == "no-room":
            wait = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}
            return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", **wait}]}
        if fate in WAITING:
            reason, message = WAITING[fate]
            status: Object = {"state": {"waiting": {"reason": reason, "message": message}}, "restartCount": 0}
            if fate == "crashes":
                status |= {"lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}, "restartCount": 3}
            return {"phase": "Pending", "containerStatuses": [status]}
        over = {each["type"] for each in owner.get("status", {}).get("conditions", [])} & {"Complete", "Failed"}
        if owner["kind"] == "Job" and over:
            code = 0 if over == {"Complete"} else 1
            ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
            return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"state": {"terminated": ended}}]}
        return {"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "restartCount": 0}]}

    def _fate(self, thing: Object) -> str:
        labels = thing["metadata"].get("labels", {})
        return self.fate.get((labels.get(COMPONENT, ""), _version(thing)), "well")


def _version(thing: Object) -> str:
    spec: Object = thing["spec"].get("template", thing)["spec"]
    return str(spec["containers"][0]["image"]).rpartition(":")[2]


def _now(later: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + later).strftime("%Y-%m-%dT%H:%M:%SZ")
