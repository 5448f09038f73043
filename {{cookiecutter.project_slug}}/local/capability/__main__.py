"""`make task NAME=invoices.send QUEUE=slow`: a capability that works, to be filled in. All is written, or nothing."""

import ast
import keyword
import re
from pathlib import Path
from string import Template

from local.change import ROOT, Refused, command, write
from local.queue import base
from service.queues import QUEUES

PARTS = Path(__file__).parent

NAME = re.compile(r"([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)")
MODULES = {"service/tasks/{}.py": "task", "service/api/{}.py": "handler", "tests/contract/test_{}.py": "test"}


def main(name: str, queue: str) -> None:
    """Write it, and say what is left to do.

    Raises:
        Refused: the name or the queue will not do, or the task exists.
    """
    if queue not in QUEUES:
        raise Refused(f"expected QUEUE to be one of {', '.join(QUEUES)}, got: {queue or 'nothing'}")
    found = NAME.fullmatch(name)
    if not found or any(keyword.iskeyword(part) for part in found.groups()):
        remedy = "write a module and a function in lower case, like invoices.send"
        raise Refused(f"expected NAME to name a task, got: {name or 'nothing'}; {remedy}")
    module, function = found.groups()
    files = {ROOT / pattern.format(module): part for pattern, part in MODULES.items()}
    tasks, handlers, _ = files
    if tasks.exists() != handlers.exists():
        raise Refused(f"expected NAME to begin with a module of your own, got: {module}, which came with the service")
    if tasks.exists() and function in _functions(tasks, handlers):
        raise Refused(f"expected a task that does not exist yet, got: {name}; take another name, or edit it")
    specification = ROOT / "service" / "openapi.yaml"
    names = _names(module, function, queue, specification.read_text())
    written = {path: _module(path, part, names) for path, part in files.items()}
    written[specification] = _specified(specification.read_text(), names)
    write(written)
    print(f"{name} works: `make test` holds it to what every order must do, and `make dev` takes it. Now fill in:")
    for path in (specification, *handlers.parent.glob(f"{module}.py"), tasks, list(files)[2]):
        print(f"  {path.relative_to(ROOT)}")


def _functions(*modules: Path) -> set[str]:
    return {
        node.name
        for path in modules
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _names(module: str, function: str, queue: str, specification: str) -> dict[str, str]:
    tag, step = module.replace("_", "-"), function.replace("_", "-")
    path = f"/v1/{tag}" if f"\n  /v1/{tag}:\n" not in specification else f"/v1/{tag}/{step}"
    schema = "".join(part.capitalize() for part in re.split(r"[._]", f"{module}.{function}"))
    return {
        "module": module,
        "function": function,
        "base": base(queue),
        "path": path,
        "tag": tag,
        "schema": schema,
        "words": module.replace("_", " ").capitalize(),
        "summary": f"{function.replace('_', ' ').capitalize()} {module.replace('_', ' ')}",
    }


def _part(part: str, names: dict[str, str]) -> str:
    return Template((PARTS / f"{part}.txt").read_text()).substitute(names)


def _module(path: Path, part: str, names: dict[str, str]) -> str:
    """The file with the part in it: ruff puts the imports where they belong, and takes one of two that are equal."""
    made = _part(part, names)
    if not path.exists():
        return made
    head, _, body = made.partition("\n\n\n")
    docstring, _, rest = path.read_text().partition('"""\n')
    imports = head.partition('"""\n')[2]
    return f'{docstring}"""\n{imports}\n{rest.rstrip()}\n\n\n{body}'


def _specified(specification: str, names: dict[str, str]) -> str:
    parts = {"paths:\n": "path", "  schemas:\n": "schema"}
    if f"\n  - name: {names['tag']}\n" not in specification:
        parts["tags:\n"] = "tag"
    for anchor, part in parts.items():
        before, found, after = specification.partition(f"\n{anchor}")
        specification = f"{before}{found}{_part(part, names)}{after}"
    return specification


if __name__ == "__main__":
    command(main)
