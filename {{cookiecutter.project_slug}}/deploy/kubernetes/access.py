"""Whether the cluster lets this deploy in, and lets it do what it is going to do."""

import time

from deploy.kubernetes.kubectl import Kubectl, Object, Wrong
from deploy.platform import REACH_SECONDS, Refused

# What a deploy does in its namespace; ci.yaml allows this and no more.
VERBS = {
    "apps/deployments": ("list", "create", "patch"),
    "batch/jobs": ("get", "list", "watch", "create", "patch", "delete"),
    "coordination.k8s.io/leases": ("get", "create", "update"),
    "networking.k8s.io/networkpolicies": ("create", "patch"),
    "policy/poddisruptionbudgets": ("create", "patch"),
    "/configmaps": ("get", "create", "patch"),
    "/events": ("list",),
    "/pods": ("get", "list"),
    "/pods/log": ("get",),
    "/serviceaccounts": ("create", "patch"),
    "/services": ("create", "patch"),
}


def demand_access(kubectl: Kubectl) -> None:
    """Hold that the cluster answers, has the namespace, and allows all of VERBS there.

    Raises:
        Refused: within REACH_SECONDS, naming what is missing.
    """
    deadline = time.monotonic() + REACH_SECONDS
    login = "see whether DEPLOY_KEY_FILE (a kubeconfig) is the right one and still good"
    try:
        kubectl("config", "current-context", again=False)
    except Wrong as wrong:
        raise Refused(
            f"expected a kubeconfig that names its cluster, got: {wrong}; set DEPLOY_KEY_FILE to one"
        ) from None
    try:
        # One request, and none of the others by which kubectl learns what a cluster knows.
        kubectl("get", "--raw", "/version", seconds=REACH_SECONDS / 2, again=False)
    except Wrong as wrong:
        raise Refused(f"expected the cluster to answer, and to let us in, got: {wrong}; {login}") from None
    try:
        _demand_namespace(kubectl, deadline)
        denied = _denied(kubectl, deadline)
    except Wrong as wrong:
        raise Refused(f"expected the cluster to say what we may do, got: {wrong}; {login}") from None
    if denied:
        raise Refused(
            f"expected to be allowed to deploy in {kubectl.namespace}, got: no right to {', '.join(denied)}; "
            f"an administrator gives it: kubectl --namespace {kubectl.namespace} apply -f deploy/kubernetes/ci.yaml"
        )


def _demand_namespace(kubectl: Kubectl, deadline: float) -> None:
    try:
        kubectl("get", "namespace", kubectl.namespace, "--output=name", seconds=_left(deadline), again=False)
    except Wrong as wrong:
        if "NotFound" in str(wrong):
            make = f"kubectl create namespace {kubectl.namespace}"
            raise Refused(f"expected the namespace {kubectl.namespace}, got: none; make it: {make}") from None
        if "Forbidden" not in str(wrong):
            raise
        # Whoever may not look at it is told below what else is not allowed.


def _denied(kubectl: Kubectl, deadline: float) -> list[str]:
    """What we may not do, asked in one go."""
    asked = [(verb, what) for what, verbs in VERBS.items() for verb in verbs]
    several = {"apiVersion": "v1", "kind": "List", "items": [_question(kubectl, *each) for each in asked]}
    options = ("--filename=-", "--output=jsonpath={.status.allowed} ", "--validate=false")
    answers = kubectl("create", *options, given=several, seconds=_left(deadline), again=False).split()
    return [f"{verb} {what.lstrip('/')}" for (verb, what), yes in zip(asked, answers, strict=True) if yes != "true"]


def _question(kubectl: Kubectl, verb: str, what: str) -> Object:
    group, resource, *part = what.split("/")
    about = {"namespace": kubectl.namespace, "verb": verb, "group": group, "resource": resource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": about | ({"subresource": part[0]} if part else {})},
    }


def _left(deadline: float) -> float:
    return max(1.0, deadline - time.monotonic())
