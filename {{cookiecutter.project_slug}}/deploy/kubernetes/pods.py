"""Why a pod does not do what it should, in a few words."""

from collections.abc import Iterable

from deploy.kubernetes.kubectl import Kubectl, Object, Wrong, words

# What does not get better by waiting, apart from a registry or an API server that is away for a moment.
HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
# A container that crashes is started again by the cluster; so many times may be bad luck.
CRASHES = 2
LINES = 5


def image(thing: Object) -> str:
    """The image of a pod, or of what a deployment or a job would start."""
    spec: Object = thing["spec"].get("template", thing)["spec"]
    return str(spec["containers"][0]["image"])


def owner(pod: Object) -> str:
    """The id of the job that it belongs to."""
    return str(next((each["uid"] for each in pod["metadata"].get("ownerReferences", [])), ""))


def hopeless(kubectl: Kubectl, pods: Iterable[Object]) -> str:
    """The first pod that will not start however long one waits, and why; nothing if there is hope for all."""
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses", []):
            waiting = status.get("state", {}).get("waiting", {})
            crashed = status.get("lastState", {}).get("terminated")
            if crashed and (waiting.get("reason") == "CrashLoopBackOff" or status.get("restartCount", 0) >= CRASHES):
                return f"{name(pod)} crashes ({_end(crashed)}): {log(kubectl, pod, '--previous')}"
            if waiting.get("reason") in HOPELESS:
                return f"{name(pod)} cannot start ({waiting['reason']}): {words(waiting.get('message', ''))}"
    return ""


def stuck(kubectl: Kubectl, pods: Iterable[Object]) -> str:
    """What the pods wait for: room on a node, or what the cluster warned of last; nothing if that is not known."""
    pods = list(pods)
    for pod in pods:
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"{name(pod)} is on no node ({condition.get('reason')}): {words(condition.get('message', ''))}"
    for pod in pods:
        if warning := _warning(kubectl, name(pod)):
            return f"{name(pod)}: {warning}"
    return ""


def ended(kubectl: Kubectl, pods: Iterable[Object]) -> str:
    """How the pod of a job ended, and its last lines."""
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses", []):
            if terminated := status.get("state", {}).get("terminated"):
                return f"{_end(terminated)}: {log(kubectl, pod)}"
    return ""


def printed(kubectl: Kubectl, pod: Object) -> str:
    """What it printed, as far as the cluster still has it."""
    try:
        return kubectl("logs", name(pod), "--tail=50").rstrip()
    except Wrong:
        return ""


def log(kubectl: Kubectl, pod: Object, *options: str) -> str:
    """Its last lines of log, or why they cannot be had."""
    try:
        return words(kubectl("logs", name(pod), f"--tail={LINES}", *options)) or "it printed nothing"
    except Wrong as wrong:
        return f"its log cannot be read ({wrong})"


def name(thing: Object) -> str:
    """What the cluster calls it."""
    return str(thing["metadata"]["name"])


def _end(terminated: Object) -> str:
    code, reason = terminated.get("exitCode"), terminated.get("reason", "Error")
    return f"exit code {code}" if reason in {"Error", "Completed"} else f"{reason}, exit code {code}"


def _warning(kubectl: Kubectl, about: str) -> str:
    try:
        events = kubectl.get("events", f"--field-selector=type=Warning,involvedObject.name={about}").get("items", [])
    except Wrong:
        return ""
    last: Object = max(events, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime")), default={})
    return words(f"{last['reason']}: {last.get('message', '')}") if last else ""
