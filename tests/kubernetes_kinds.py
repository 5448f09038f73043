"""Which kinds a cluster knows, as kubectl asks before it does anything with one; and how a cluster says no."""

from tests.kubernetes_cluster import Object

# Group and version, what paths call it, and its kind.
KINDS = {
    ("v1", "configmaps"): "ConfigMap",
    ("v1", "events"): "Event",
    ("v1", "namespaces"): "Namespace",
    ("v1", "pods"): "Pod",
    ("v1", "secrets"): "Secret",
    ("v1", "serviceaccounts"): "ServiceAccount",
    ("v1", "services"): "Service",
    ("apps/v1", "deployments"): "Deployment",
    ("authorization.k8s.io/v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("batch/v1", "jobs"): "Job",
    ("coordination.k8s.io/v1", "leases"): "Lease",
    ("keda.sh/v1alpha1", "scaledobjects"): "ScaledObject",
    ("networking.k8s.io/v1", "networkpolicies"): "NetworkPolicy",
    ("policy/v1", "poddisruptionbudgets"): "PodDisruptionBudget",
}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    503: "ServiceUnavailable",
}


class WrongError(Exception):
    """An answer that is none."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
        self.body["reason"] = reason or REASONS[code]
        self.code = code


def discovered(parts: list[str]) -> Object:
    """Which kinds there are, as kubectl asks before it does anything with one."""
    versions = sorted({version for version, _ in KINDS})
    if parts == ["version"]:
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    if parts == ["apis"]:
        several = [{"groupVersion": each, "version": each.split("/")[1]} for each in versions if "/" in each]
        groups = [
            {"name": each["groupVersion"].split("/")[0], "versions": [each], "preferredVersion": each}
            for each in several
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    asked = "v1" if parts[0] == "api" else "/".join(parts[1:])
    found = [
        {"name": plural, "singularName": kind.lower(), "kind": kind, "verbs": VERBS}
        | {"namespaced": kind not in {"Namespace", "SelfSubjectAccessReview"}}
        for (version, plural), kind in KINDS.items()
        if version == asked
    ]
    if not found:
        raise WrongError(404, "the server could not find the requested resource")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": asked, "resources": found}
