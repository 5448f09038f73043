"""The objects of each role, as kustomize makes them from the overlay of an environment."""

from pathlib import Path

import yaml

from deploy.kubernetes.kubectl import Kubectl, Object

FOLDER = Path(__file__).parent / "overlays"
COMPONENT = "app.kubernetes.io/component"
SETTINGS = "settings"


def environments() -> list[str]:
    """Those that have an overlay."""
    return sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))


def objects(kubectl: Kubectl, environment: str, component: str, image: str) -> list[Object]:
    """What belongs to one role, in this image, after the settings that all share."""
    made = list(yaml.safe_load_all(kubectl.kustomize(FOLDER / environment)))
    shared = [each for each in made if each["metadata"]["labels"][COMPONENT] == SETTINGS]
    own = [each for each in made if each["metadata"]["labels"][COMPONENT] == component]
    scaled = any(each["kind"] == "ScaledObject" for each in own)
    for each in own:
        if "template" in each.get("spec", {}):
            each["spec"]["template"]["spec"]["containers"][0]["image"] = image
        if scaled:
            # KEDA says how many there are: a deploy must not take away those that are at work.
            each.get("spec", {}).pop("replicas", None)
    return shared + own
