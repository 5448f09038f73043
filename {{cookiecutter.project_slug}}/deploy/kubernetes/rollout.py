"""How far a deployment or a job has come, read from what the cluster says of it."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from deploy.kubernetes.kubectl import Object, words
from deploy.platform import STEP_SECONDS

POLL_SECONDS = 2.0
# What looks hopeless is given so long: a registry may be away for a moment.
PATIENCE_SECONDS = 20.0
# A pod that is there so long after it should be gone is on a node that has fallen silent.
SILENT = timedelta(seconds=30)


class Watch:
    """The time that one step has."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + STEP_SECONDS
        self._hopeless_since: float | None = None

    @property
    def over(self) -> bool:
        """Whether it is used up."""
        return time.monotonic() > self._deadline

    def despairs(self, why: str) -> bool:
        """Whether there has been a reason to, at each look, for PATIENCE_SECONDS."""
        if not why:
            self._hopeless_since = None
        elif self._hopeless_since is None:
            self._hopeless_since = time.monotonic()
        return self._hopeless_since is not None and time.monotonic() - self._hopeless_since > PATIENCE_SECONDS

    def sleep(self) -> None:
        """Until the next look."""
        time.sleep(POLL_SECONDS)


def settled(deployment: Object) -> bool:
    """Whether all its pods are of its newest kind, and ready; what `kubectl rollout status` asks."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    counts = [status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and counts == [wanted] * 3


def given_up(deployment: Object) -> bool:
    """Whether the cluster itself has said that it does not get on."""
    current = deployment.get("status", {}).get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return current and bool(_condition(deployment, "Progressing", "False"))


def refused(deployment: Object) -> str:
    """Why the cluster makes no pods: a quota, or a policy."""
    return _condition(deployment, "ReplicaFailure", "True")


def progress(deployment: Object, found: list[Object]) -> str:
    """How many pods are there, and ready."""
    status = deployment.get("status", {})
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    wanted = deployment["spec"].get("replicas", 1)
    return f"{updated} of {wanted} pods of the new version, {ready} ready in all, {len(found)} there"


def outcome(job: Object) -> str:
    """That it is "Complete", or why it failed; nothing while it is under way."""
    if _condition(job, "Complete", "True"):
        return "Complete"
    return _condition(job, "Failed", "True")


def present(found: Iterable[Object]) -> list[Object]:
    """The pods that are at work, or will be, or are not yet done with it."""
    return [
        pod for pod in found if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"} and not _lost(pod)
    ]


def _lost(pod: Object) -> bool:
    # The cluster writes down when it should be gone, its grace period included.
    until = pod["metadata"].get("deletionTimestamp")
    return bool(until) and datetime.now(UTC) - datetime.fromisoformat(until) > SILENT


def _condition(thing: Object, kind: str, status: str) -> str:
    for each in thing.get("status", {}).get("conditions", []):
        if (each["type"], each["status"]) == (kind, status):
            return words(f"{each.get('reason', kind)}: {each.get('message', '')}")
    return ""
