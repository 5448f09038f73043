"""The Kubernetes manifests as `kubectl kustomize` would give them, for machines without kubectl."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
RELEASE = "registry.example/desk:1a2b3c4"


def manifests(folder: Path, environment: str) -> list[Manifest]:
    """What one overlay of `deploy/kubernetes` makes, with the image that a deploy names."""
    overlay = yaml.safe_load((folder / "overlays" / environment / "kustomization.yaml").read_text())
    base = yaml.safe_load((folder / "base" / "kustomization.yaml").read_text())
    names = base["labels"][0]["pairs"]
    every_pod = yaml.safe_load((folder / "base" / base["patches"][0]["path"]).read_text())
    made = []
    for path in base["resources"]:
        for manifest in yaml.safe_load_all((folder / "base" / path).read_text()):
            if manifest["kind"] in {"Deployment", "Job"}:
                manifest["spec"]["template"] = merged(manifest["spec"]["template"], every_pod["spec"]["template"])
                manifest["spec"]["template"]["spec"]["containers"][0]["image"] = RELEASE
            made.append(labelled(manifest, names))
    for count in overlay["replicas"]:
        next(each for each in made if name(each) == ("Deployment", count["name"]))["spec"]["replicas"] = count["count"]
    return [merged(manifest, {"metadata": {"namespace": overlay["namespace"]}}) for manifest in made]


def name(manifest: Manifest) -> tuple[str, str]:
    """What tells it from the others."""
    return manifest["kind"], manifest["metadata"]["name"]


def labelled(manifest: Manifest, pairs: dict[str, str]) -> Manifest:
    """The manifest with labels on it, on its pods, and in its selectors."""
    manifest = merged(manifest, {"metadata": {"labels": pairs}})
    spec = manifest["spec"]
    if manifest["kind"] in {"Deployment", "Job"}:
        spec["template"] = merged(spec["template"], {"metadata": {"labels": pairs}})
    if manifest["kind"] == "Deployment":
        spec["selector"] = merged(spec["selector"], {"matchLabels": pairs})
    if manifest["kind"] == "NetworkPolicy":
        spec["podSelector"] = merged(spec["podSelector"], {"matchLabels": pairs})
    if manifest["kind"] == "Service":
        spec["selector"] = {**spec["selector"], **pairs}
    return manifest


def merged(below: Any, above: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """A strategic merge: objects by key, lists of named things by name, all else replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        both = {key: merged(below[key], above[key]) for key in below if key in above}
        return deepcopy({**below, **above, **both})
    if isinstance(below, list) and isinstance(above, list) and all("name" in each for each in [*below, *above]):
        theirs = {each["name"]: each for each in above}
        ours = [merged(each, theirs.pop(each["name"], {})) for each in below]
        return [*ours, *theirs.values()]
    return deepcopy(above)
