"""Files that name each worker and can derive nothing: a new queue gets a copy of what another one has there."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.change import ROOT, Refused


@dataclass(frozen=True)
class Unit:
    """What belongs to one worker in a file, as a pattern with WORKER in it; and what stands between two of them."""

    pattern: str
    between: str

    def found(self, text: str, queue: str) -> list[re.Match[str]]:
        """Those of one queue."""
        worker = rf"worker-{re.escape(queue)}(?![a-z0-9-])"
        return [*re.finditer(self.pattern.replace("WORKER", worker), text, re.MULTILINE)]


LINE = Unit(r"^.*WORKER.*$", "\n")
BLOCK = Unit(r"^( *)WORKER:.*(?:\n\1 .+)+", "\n\n")
DOCUMENT = Unit(r"^apiVersion:.*(?:\n(?!---).+)*?\n  name: WORKER$(?:\n(?!---).+)*", "\n---\n")
COUNT = Unit(r'"WORKER": (?:\d+|\$\{\w+\})', ", ")

# A service has those of the places that it was rendered for.
UNITS = {
    "Procfile": LINE,
    "compose.yaml": BLOCK,
    ".github/workflows/deploy.yml": LINE,
    ".gitlab/deploy.yml": BLOCK,
    "deploy/compose/compose.yaml": BLOCK,
    "deploy/ecs/*.json": COUNT,
    "deploy/ecs/account.yaml": COUNT,
    "deploy/kubernetes/base/accounts.yaml": DOCUMENT,
    "deploy/kubernetes/base/kustomization.yaml": LINE,
    "deploy/kubernetes/keda/kustomization.yaml": LINE,
    "deploy/kubernetes/overlays/*/replicas.yaml": DOCUMENT,
}
# In these it has a file of its own.
WHOLE = ("deploy/kubernetes/base/worker-{}.yaml", "deploy/kubernetes/keda/worker-{}.yaml")


def copies(name: str, like: str, last: str) -> Mapping[Path, str]:
    """Every file with a copy of what `like` has there, called `name`, behind what `last` has.

    Raises:
        Refused: a file does not name the queues as it did when it was rendered.
    """
    return {**dict(_changed(name, like, last)), **dict(_whole(name, like))}


def _changed(name: str, like: str, last: str) -> Iterator[tuple[Path, str]]:
    for pattern, unit in UNITS.items():
        for path in sorted(ROOT.glob(pattern)):
            text = _behind(path.read_text(), last, name)
            models, places = unit.found(text, like), unit.found(text, last)
            if not places or len(models) != len(places):
                raise Refused(
                    f"expected {path.relative_to(ROOT)} to name each worker as it was rendered, got: worker-{like} "
                    f"{len(models)} times and worker-{last} {len(places)} times; write it so, or add the queue by hand"
                )
            for model, place in reversed([*zip(models, places, strict=True)]):
                copy = re.sub(r"needs: \[.*\]", f"needs: [worker-{last}]", renamed(model[0], like, name))
                text = f"{text[: place.end()]}{unit.between}{copy}{text[place.end() :]}"
            yield path, text


def _behind(text: str, last: str, name: str) -> str:
    """In GitLab's pipeline each target waits for the one before it: what waited for the last queue waits for this."""
    return text.replace(f"needs: [worker-{last}]", f"needs: [worker-{name}]")


def _whole(name: str, like: str) -> Iterator[tuple[Path, str]]:
    for path in WHOLE:
        model = ROOT / path.format(like)
        if model.parent.exists():
            yield ROOT / path.format(name), renamed(model.read_text(), like, name)


def renamed(text: str, like: str, name: str) -> str:
    """The text with the one for the other: worker-slow, `worker slow`, [worker, slow], and queue = 'slow'."""
    return re.sub(rf"\b(worker(?:-| |, )|queue = '){re.escape(like)}(?![a-z0-9-])", rf"\g<1>{name}", text)
