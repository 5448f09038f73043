"""The Kubernetes manifests as `kubectl kustomize` would give them, for machines without kubectl."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
RELEASE = "registry.example/desk:1a2b3c4"


def manifests(folder: Path, environment: str) -> list[Manifest]:
    """What one overlay of `deploy/kubernetes` makes, with the image that a deploy names."""
    above, below = folder / "overlays" / environment, folder / "base"
    overlay, base = (yaml.safe_load((each / "kustomization.yaml").read_text()) for each in (above, below))
    made = {name(each): each for path in base["resources"] for each in yaml.safe_load_all((below / path).read_text())}
    for patch in base["patchesJson6902"]:
        for step in yaml.safe_load((below / patch["path"]).read_text()):
            add(made[patch["target"]["kind"], patch["target"]["name"]], step["path"].split("/")[1:], step["value"])
    for path in overlay["patchesStrategicMerge"]:
        for patch in yaml.safe_load_all((above / path).read_text()):
            made[name(patch)] = merged(made[name(patch)], patch)
    for each in made.values():
        if each["kind"] in {"Deployment", "Job"}:
            each["spec"]["template"]["spec"]["containers"][0]["image"] = RELEASE
    common = {"metadata": {"namespace": overlay["namespace"]}}
    return [merged(labelled(each, base["commonLabels"]), common) for each in made.values()]


def add(manifest: Manifest, path: list[str], value: object) -> None:
    """One step of a JSON patch that adds a field."""
    for part in path[:-1]:
        manifest = manifest[int(part)] if isinstance(manifest, list) else manifest[part]
    manifest[path[-1]] = deepcopy(value)


def name(manifest: Manifest) -> tuple[str, str]:
    """What tells it from the others."""
    return manifest["kind"], manifest["metadata"]["name"]


def labelled(manifest: Manifest, pairs: dict[str, str]) -> Manifest:
    """The manifest with labels on it, on its pods, and in its selectors."""
    manifest = merged(manifest, {"metadata": {"labels": pairs}})
    spec = manifest.get("spec", {})
    if manifest["kind"] in {"Deployment", "Job"}:
        spec["template"] = merged(spec["template"], {"metadata": {"labels": pairs}})
    if manifest["kind"] in {"Deployment", "PodDisruptionBudget"}:
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
