"""Tasks: those that Celery would know of, with what each was given by its decorator, its classes and the settings."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.takeover.settings import Given
from local.takeover.source import Function, Module, Source

DECORATORS = {
    f"celery.{name}"
    for name in (
        "shared_task",
        "task",
        "task.task",
        "task.periodic_task",
        "decorators.task",
        "decorators.periodic_task",
    )
}
CLASSES = {"celery.Task", "celery.app.task.Task", "celery.task.Task", "celery.task.base.Task", "celery.Celery.Task"}
# Whose `.task` is not Celery's.
OTHERS = {"airflow", "dramatiq", "huey", "invoke", "locust", "prefect", "procrastinate", "pytest", "taskiq"}

# The base classes that bring every preset of `queues.py`.
_HOUSE = Path(__file__).parents[2] / "service" / "worker" / "task.py"
PRESETS = {
    f"service.worker{module}.{node.name}"
    for node in ast.parse(_HOUSE.read_text()).body
    if isinstance(node, ast.ClassDef)
    for module in ("", ".task")
}

# What the options of a task are called where they are given for all of them.
APP_WIDE = {"rate_limit": "task_default_rate_limit"}


@dataclass(frozen=True)
class Task:
    """One task, and what it was given."""

    name: str
    module: Module
    # Where it is declared, and what runs.
    node: ast.ClassDef | Function
    function: Function
    options: Mapping[str, Given]
    # Whether a base class of this service brings every preset.
    preset: bool
    # Whether its first parameter is the task itself.
    bound: bool

    def given(self, option: str) -> Given | None:
        """What was given for an option, here or for all tasks; None is as good as nothing."""
        found = self.options.get(option)
        return found if found and found.value is not None else None

    @property
    def parameters(self) -> list[ast.arg]:
        """What it takes, without itself."""
        taken = self.function.args
        return [*taken.posonlyargs, *taken.args][self.bound :] + taken.kwonlyargs


def tasks(source: Source, settings: Mapping[str, list[Given]]) -> list[Task]:
    """Every task, in the order of the source."""
    return [task for module in source.modules for task in _Finder(source, settings, module).tasks()]


@dataclass(frozen=True)
class _Finder:
    """The tasks of one module."""

    source: Source
    settings: Mapping[str, list[Given]]
    module: Module

    def tasks(self) -> Iterator[Task]:
        for node, *_ in self.module.places:
            if isinstance(node, Function):
                for decorator in node.decorator_list:
                    if self._decorates(decorator):
                        yield self._of_function(node, decorator)
                        break
            elif isinstance(node, ast.ClassDef) and (task := self._of_class(node)):
                yield task

    def _decorates(self, decorator: ast.expr) -> bool:
        name = self.source.origin(self.module.resolve(decorator))
        root, _, last = name.partition(".")[0], *name.rpartition(".")[1:]
        return name in DECORATORS or (name != last and last in {"task", "periodic_task"} and root not in OTHERS)

    def _of_function(self, node: Function, decorator: ast.expr) -> Task:
        arguments = decorator.keywords if isinstance(decorator, ast.Call) else []
        own = {given.arg: Given(given.value, self.module) for given in arguments if given.arg}
        for given in arguments:
            if given.arg is None:
                own |= self._unpacked(given.value)
        bases = [own["base"].expression] if "base" in own else []
        bound = "bind" in own and own["bind"].value is not False
        return self._task(node, node, bases, own, bound)

    def _of_class(self, node: ast.ClassDef) -> Task | None:
        run = next((each for each in node.body if isinstance(each, Function) and each.name == "run"), None)
        own = _attributes(node, self.module)
        if run is None or ("abstract" in own and own["abstract"].value is True):
            return None
        names = set(self._ancestors(node.bases))
        if not any(name in CLASSES | PRESETS or name.endswith(("app.Task", "celery.Task")) for name in names):
            return None
        return self._task(node, run, node.bases, own, bound=True)

    def _task(
        self, node: ast.ClassDef | Function, run: Function, bases: list[ast.expr], own: dict[str, Given], bound: bool
    ) -> Task:
        explicit = own["name"].value if "name" in own else None
        name = explicit if isinstance(explicit, str) else f"{self.module.name}.{node.name}"
        options: dict[str, Given] = {}
        for setting, places in self.settings.items():
            options[setting.removeprefix("task_")] = places[-1]
        for option, setting in APP_WIDE.items():
            if setting in self.settings:
                options[option] = self.settings[setting][-1]
        if not bases:
            bases = [place.expression for place in self.settings.get("task_cls", [])]
        for module, each in reversed(list(self._chain(bases))):
            options |= _attributes(each, module)
        options |= own
        for place in self.settings.get("task_annotations", []):
            options |= _annotated(place, name)
        preset = not PRESETS.isdisjoint(self._ancestors(bases))
        return Task(name, self.module, node, run, options, preset, bound)

    def _ancestors(self, bases: list[ast.expr]) -> Iterator[str]:
        """The dotted names of these classes and of what they inherit from, as far as that was read."""
        yield from (self.source.origin(self.module.resolve(base)) for base in bases)
        for module, node in self._chain(bases):
            yield from (self.source.origin(module.resolve(base)) for base in node.bases)

    def _chain(self, bases: list[ast.expr]) -> Iterator[tuple[Module, ast.ClassDef]]:
        """The classes that were read among these and what they inherit from, nearest first."""
        seen: set[str] = set()
        waiting = [self.module.resolve(base) for base in bases]
        while waiting:
            name = waiting.pop(0)
            last = name.rpartition(".")[2]
            if last in self.source.classes and last not in seen and name not in CLASSES:
                seen.add(last)
                module, node = self.source.classes[last]
                yield module, node
                waiting += [module.resolve(base) for base in node.bases]

    def _unpacked(self, expression: ast.expr) -> dict[str, Given]:
        """What `**OPTIONS` gives, where that is a dict of this module."""
        if isinstance(expression, ast.Name):
            expression = self.module.assigned.get(expression.id, expression)
        return _entries(Given(expression, self.module))


def _attributes(node: ast.ClassDef, module: Module) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for each in node.body:
        if isinstance(each, ast.Assign):
            found |= {target.id: Given(each.value, module) for target in each.targets if isinstance(target, ast.Name)}
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.value:
            found[each.target.id] = Given(each.value, module)
    return found


def _entries(place: Given) -> dict[str, Given]:
    """The entries of a dict, or of a call of `dict`."""
    match place.expression:
        case ast.Dict():
            pairs = zip(place.expression.keys, place.expression.values, strict=True)
            return {str(key.value): Given(each, place.module) for key, each in pairs if isinstance(key, ast.Constant)}
        case ast.Call(func=ast.Name(id="dict")):
            return {each.arg: Given(each.value, place.module) for each in place.expression.keywords if each.arg}
    return {}


def _annotated(place: Given, task: str) -> dict[str, Given]:
    """What a setting for one task, or for all, gives this one."""
    entries = _entries(place)
    found = [_entries(entries[key]) for key in ("*", task) if key in entries]
    return {option: given for each in found for option, given in each.items()}
