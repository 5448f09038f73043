"""What differs between the definitions and Datadog, and what makes it equal; a second run finds nothing to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.monitors.datadog import Definition, Shelf

# Datadog says "metric alert" or "query alert" as it sees fit, and changes neither into the other.
UNCHANGING = {"type"}


@dataclass(frozen=True)
class Step:
    """One thing to create (nothing is there), to change, or to delete (nothing is wanted)."""

    shelf: Shelf
    wanted: Definition | None
    there: Definition | None
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        either = self.wanted or self.there or {}
        deed = "create" if self.there is None else "delete" if self.wanted is None else "change"
        return "\n  ".join([f"{deed} {self.shelf.kind} {either[self.shelf.title]}", *self.differences])

    def validate(self) -> None:
        """Let Datadog judge it before anything is changed."""
        if self.wanted:
            self.shelf.validate(self.wanted, self.there)

    def apply(self) -> None:
        """Do it."""
        if self.wanted is None:
            self.shelf.delete(self.there or {})
        elif self.there is None:
            self.shelf.create(self.wanted)
        else:
            self.shelf.update({name: self.wanted[name] for name in self.wanted if name not in UNCHANGING}, self.there)


def plan(shelf: Shelf, wanted: Sequence[Definition]) -> Iterator[Step]:
    """The steps towards `wanted`; what carries our mark and is wanted no more, or twice there, is deleted."""
    left = shelf.ours()
    for definition in wanted:
        there = next((each for each in left if each[shelf.title] == definition[shelf.title]), None)
        if there is None:
            yield Step(shelf, definition, None)
            continue
        left.remove(there)
        compared = {name: value for name, value in definition.items() if name not in UNCHANGING}
        if found := tuple(differences(compared, there)):
            yield Step(shelf, definition, there, found)
    for there in left:
        yield Step(shelf, None, there)


def differences(wanted: object, there: object, path: str = "") -> Iterator[str]:
    """Where what is there is not as wanted, a line each; what Datadog adds by itself is no difference."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        for name, value in wanted.items():
            yield from differences(value, there.get(name), f"{path}.{name}" if path else name)
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        # Tags come back in an order of Datadog's own.
        in_order = zip(*(map(sorted, (wanted, there)) if path == "tags" else (wanted, there)), strict=True)
        for number, (each, other) in enumerate(in_order):
            yield from differences(each, other, f"{path}[{number}]")
    elif wanted != there:
        yield f"{path}: {there!r} -> {wanted!r}"
