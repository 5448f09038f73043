"""The lock of a deploy: a Lease, which the cluster lets one writer have at a time."""

from datetime import UTC, datetime, timedelta

from deploy.kubernetes.kubectl import Kubectl, Object, Wrong
from deploy.platform import Refused

NAME = "deploy"
# A deploy that was killed does not give it back; no deploy takes this long.
LEFT_OVER = timedelta(hours=1)


def take(kubectl: Kubectl, holder: str) -> str:
    """Have it, or give way to who has it; gives since when, which tells this holding from others.

    Raises:
        Refused: naming who has it and since when, or why it cannot be had.
    """
    since = _text(datetime.now(UTC))
    try:
        kubectl("create", "--filename=-", "--validate=false", given=_lease(kubectl, holder, since))
        return since
    except Wrong as wrong:
        if "AlreadyExists" not in str(wrong):
            raise Refused(_unknown(wrong)) from None
    try:
        there = kubectl.get("lease", NAME)
        spec = there.get("spec", {})
        # The answer to a creation may be lost on its way, and the creation done.
        if spec.get("holderIdentity") == holder and spec.get("acquireTime") == since:
            return since
        if there and not _free(spec):
            age = _ago(spec)
            raise Refused(
                f"expected no other deploy in {kubectl.namespace}, got: one by {spec['holderIdentity']} since {age}; "
                f"wait for its end, or if it is dead: kubectl --namespace {kubectl.namespace} delete lease {NAME}"
            )
        if there:
            _replace(kubectl, there, holder, since)
        else:
            kubectl("create", "--filename=-", "--validate=false", given=_lease(kubectl, holder, since))
    except Wrong as wrong:
        raise Refused(_unknown(wrong)) from None
    return since


def give_back(kubectl: Kubectl, holder: str, since: str) -> None:
    """Let others have it; nothing happens to one that another has by now, or that is not there."""
    there = kubectl.get("lease", NAME)
    spec = there.get("spec", {})
    if (spec.get("holderIdentity"), spec.get("acquireTime")) != (holder, since):
        return
    try:
        _replace(kubectl, there, "", None)
    except Wrong as wrong:
        # Another took it in this moment, so it is no longer ours to give.
        if "Conflict" not in str(wrong):
            raise


def _replace(kubectl: Kubectl, there: Object, holder: str, since: str | None) -> None:
    """Change it if nobody did since it was read: the version that was read goes back with it."""
    lease = _lease(kubectl, holder, since)
    lease["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
    kubectl("replace", "--filename=-", "--validate=false", given=lease)


def _lease(kubectl: Kubectl, holder: str, since: str | None) -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": NAME, "namespace": kubectl.namespace},
        "spec": {
            "holderIdentity": holder,
            "acquireTime": since,
            "leaseDurationSeconds": int(LEFT_OVER.total_seconds()),
        },
    }


def _free(spec: Object) -> bool:
    return not spec.get("holderIdentity") or _age(spec) > LEFT_OVER


def _age(spec: Object) -> timedelta:
    if not spec.get("acquireTime"):
        return timedelta.max
    return datetime.now(UTC) - datetime.fromisoformat(spec["acquireTime"])


def _ago(spec: Object) -> str:
    return f"{spec['acquireTime'][:16]}Z, {_age(spec).total_seconds() / 60:.0f} minutes ago"


def _text(moment: datetime) -> str:
    # Kubernetes wants all six digits of the microseconds, and a Z.
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _unknown(wrong: Wrong) -> str:
    return f"expected to lock the deploys of this environment, got: {wrong}; nothing was changed; run this again"
