"""Kubernetes as a place to deploy to: one namespace for each environment, and kubectl for everything that is done."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.kubernetes import lease, manifests, pods, rollout
from deploy.kubernetes.access import demand_access
from deploy.kubernetes.kubectl import Kubectl, Object, Wrong
from deploy.kubernetes.rollout import Watch
from deploy.platform import ROLES, STEP_SECONDS, Failed, Once, Record, Refused
from deploy.registry import demand_image
from service import NAME

RECORD = "release"
# Seconds for a job's pod to end: the cluster's default of grace, and time for the rest.
DELETE_SECONDS = 60


def open(environment: str) -> "Kubernetes":  # noqa: A001 - what the deploy asks each place for
    """The namespace of this environment.

    Raises:
        Refused: there is no such environment.
    """
    if environment not in manifests.environments():
        known = ", ".join(manifests.environments())
        raise Refused(f"expected TARGET_ENV to be one of {known}, got: {environment or 'nothing'}; set it to one")
    return Kubernetes(environment)


class Kubernetes:
    """One environment in one namespace."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._image = os.environ.get("IMAGE", "")
        self._key = os.environ.get("DEPLOY_KEY_FILE", "")
        self._since = ""
        self._kubectl = Kubectl(f"{NAME}-{environment}", self._key)

    def reach(self, version: str) -> None:
        """Hold that kubectl is there and let in, that it may do what a deploy does, and that the image exists."""
        missing = []
        if not self._image:
            missing.append("IMAGE (the image's address, without a tag)")
        if self._key and not Path(self._key).is_file():
            missing.append(f"DEPLOY_KEY_FILE (a kubeconfig; {self._key} is no file)")
        if not shutil.which("kubectl"):
            missing.append("kubectl on PATH (on Debian: apt install kubernetes-client)")
        if missing:
            raise Refused(f"expected {' and '.join(missing)}, got: nothing; set that, and run this again")
        demand_access(self._kubectl)
        demand_image(self._image, version)

    def lock(self, holder: str) -> None:
        """A Lease."""
        self._since = lease.take(self._kubectl, holder)

    def unlock(self, holder: str) -> None:
        """Leaves the Lease there, and nobody in it."""
        try:
            lease.give_back(self._kubectl, holder, self._since)
        except Wrong as wrong:
            command = f"kubectl --namespace {self._namespace} delete lease {lease.NAME}"
            raise Failed(
                f"expected to unlock the deploys, got: {wrong}; after an hour it is void, or: {command}"
            ) from None

    def record(self) -> Record | None:
        """From a ConfigMap."""
        try:
            data = self._kubectl.get("configmap", RECORD).get("data")
        except Wrong as wrong:
            raise Failed(
                f"expected to read the last deploy's record, got: {wrong}; mend it, and run this again"
            ) from None
        return Record(**data) if data else None

    def remember(self, record: Record) -> None:
        """In a ConfigMap."""
        kept = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": RECORD, "namespace": self._namespace, "labels": {"app.kubernetes.io/name": NAME}},
            "data": record.fields(),
        }
        try:
            self._kubectl.apply([kept])
        except Wrong as wrong:
            raise Failed(f"expected to write the deploy's record, got: {wrong}; run this again") from None

    def versions(self) -> Mapping[str, str]:
        """From the tags of the deployments' images."""
        try:
            found = self._kubectl.get("deployments", f"--selector=app.kubernetes.io/name={NAME}").get("items", [])
        except Wrong as wrong:
            raise Failed(f"expected to read which versions run, got: {wrong}; mend it, and run this again") from None
        images = {pods.name(each): pods.image(each) for each in found}
        return {role: images[role].rpartition(":")[2] for role in ROLES if role in images}

    def once(self, what: Once, version: str) -> str:
        """A Job; one that a killed deploy has left under way is waited for, not started again."""
        image = f"{self._image}:{version}"
        try:
            job = self._kubectl.get("job", what)
            if not job or rollout.outcome(job) or pods.image(job) != image:
                self._delete(what)
                self._apply(what, image)
            return self._end(what, f"expected {what} of {version} to end well")
        except Wrong as wrong:
            raise Failed(
                f"expected {what} of {version} to end well, got: {wrong}; mend that, and deploy again"
            ) from None

    def replace(self, role: str, version: str) -> None:
        """A Deployment, and what belongs to it."""
        image = f"{self._image}:{version}"
        try:
            self._apply(role, image)
            self._settle(role, image, f"expected {role} to run {version}")
        except Wrong as wrong:
            raise Failed(f"expected {role} to run {version}, got: {wrong}; mend that, and deploy again") from None

    @property
    def _namespace(self) -> str:
        return self._kubectl.namespace

    def _apply(self, component: str, image: str) -> None:
        self._kubectl.apply(manifests.objects(self._kubectl, self._environment, component, image))

    def _look(self, kinds: str, component: str) -> tuple[Object, list[Object]]:
        """The deployment or job of a component, and the pods that are there for it."""
        selector = f"--selector=app.kubernetes.io/name={NAME},{manifests.COMPONENT}={component}"
        found = self._kubectl.get(f"{kinds},pods", selector).get("items", [])
        owners = [each for each in found if each["kind"] != "Pod"]
        if not owners:
            raise Wrong(f"{component} is gone, which somebody else must have deleted")
        return owners[0], [each for each in found if each["kind"] == "Pod"]

    def _settle(self, role: str, image: str, expected: str) -> None:
        remedy = f"`kubectl --namespace {self._namespace} describe pods` says more"
        watch = Watch()
        while True:
            deployment, found = self._look("deployments", role)
            found = rollout.present(found)
            new = [pod for pod in found if pods.image(pod) == image]
            if rollout.settled(deployment) and pods.image(deployment) == image and len(new) == len(found):
                return
            why = pods.hopeless(self._kubectl, new)
            if watch.despairs(why):
                raise Failed(f"{expected}, got: {why}; {remedy}")
            if watch.over or rollout.given_up(deployment):
                why = why or rollout.refused(deployment) or pods.stuck(self._kubectl, new)
                why = why or rollout.progress(deployment, found)
                raise Failed(f"{expected} within {STEP_SECONDS} s, got: {why}; {remedy}")
            watch.sleep()

    def _end(self, what: str, expected: str) -> str:
        watch = Watch()
        while True:
            job, found = self._look("jobs", what)
            own = [pod for pod in found if pods.owner(pod) == job["metadata"]["uid"]]
            outcome = rollout.outcome(job)
            if outcome == "Complete":
                return "\n".join(pods.printed(self._kubectl, pod) for pod in own)
            if outcome:
                remedy = f"`kubectl --namespace {self._namespace} logs job/{what}` says more"
                raise Failed(f"{expected}, got: {pods.ended(self._kubectl, own) or outcome}; {remedy}")
            why = pods.hopeless(self._kubectl, own)
            if watch.despairs(why) or watch.over:
                why = why or pods.stuck(self._kubectl, own) or f"it was still under way after {STEP_SECONDS} s"
                # It should not begin once nobody waits for it; its own deadline ends it where this does not.
                with contextlib.suppress(Wrong):
                    self._delete(what)
                raise Failed(f"{expected}, got: {why}; mend that, and deploy again")
            watch.sleep()

    def _delete(self, job: str) -> None:
        """It and its pod, which may take its time to end."""
        options = ("--ignore-not-found", "--cascade=foreground", f"--timeout={DELETE_SECONDS}s")
        self._kubectl("delete", "job", job, *options, seconds=DELETE_SECONDS + 1)
