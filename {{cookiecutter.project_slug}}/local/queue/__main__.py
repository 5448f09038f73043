"""`make queue NAME=imports LIKE=slow`: a queue and its worker, wherever they have to be. All is written, or nothing."""

import re

from local.change import ROOT, Refused, command, write
from local.queue import base
from local.queue.copies import copies
from service.cli import ROLES
from service.queues import QUEUES

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
# Kubernetes allows 63: "worker-", the queue, and the 17 characters that tell the pods of one role apart.
LONGEST = 39
# They would be taken for a role, or for the class that all tasks have in common.
TAKEN = {*ROLES, "durable"}

POLICY = ROOT / "service" / "queues.py"
TASKS = ROOT / "service" / "worker" / "task.py"
EXPORTS = ROOT / "service" / "worker" / "__init__.py"

ENTRY = r'^    "THIS": Queue\(\n(?: {8}.+\n)+    \),\n'
CLASS = '''

class {base}(DurableTask):
    """Work on the queue `{name}`, whose limits began as those of `{like}`."""

    kind = "{name}"
'''


def main(name: str, like: str) -> None:
    """Write it, and say what is left to do.

    Raises:
        Refused: one of the names will not do, or a file is not as it was rendered.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        rule = f"at most {LONGEST} lower-case letters, digits and single hyphens, a letter first and behind each hyphen"
        raise Refused(f"expected NAME to be {rule}, got: {name or 'nothing'}; write one like imports")
    if name in QUEUES:
        raise Refused(f"expected a queue that does not exist yet, got: {name}; its numbers are in service/queues.py")
    if name in TAKEN:
        raise Refused(f"expected NAME to be that of nothing else, got: {name}; name it after its work, like imports")
    if like not in QUEUES:
        raise Refused(f"expected LIKE to be one of {', '.join(QUEUES)}, got: {like or 'nothing'}; it lends its limits")
    last = [*QUEUES][-1]
    files = {
        POLICY: _policy(POLICY.read_text(), name, like, last),
        TASKS: TASKS.read_text() + CLASS.format(base=base(name), name=name, like=like),
        EXPORTS: _exports(EXPORTS.read_text(), base(name)),
        **copies(name, like, last),
    }
    write(files)
    print(f"{name} works as {like} does: `make task NAME=… QUEUE={name}` gives it work, `make dev` runs its worker.")
    print("Now give it limits of its own in service/queues.py; `make test` names the platforms that should follow. In:")
    for path in files:
        print(f"  {path.relative_to(ROOT)}")


def _policy(source: str, name: str, like: str, last: str) -> str:
    """The policy, with a copy of one entry behind the last."""
    model, place = (re.search(ENTRY.replace("THIS", re.escape(queue)), source, re.MULTILINE) for queue in (like, last))
    if not model or not place:
        spelt = " and ".join(dict.fromkeys((like, last)))
        remedy = "write that as it was rendered, or add the queue by hand"
        raise Refused(f"expected service/queues.py to spell {spelt} out, got: another form; {remedy}")
    said = f"    # As {like} to begin with; give it what its own work needs.\n"
    entry = model[0].replace(f'"{like}"', f'"{name}"', 1)
    return f"{source[: place.end()]}{said}{entry}{source[place.end() :]}"


def _exports(source: str, base: str) -> str:
    """What `service.worker` offers, with one class more; ruff brings it into line."""
    offer, names = "from service.worker.task import ", "__all__ = ["
    for before, after in {offer: f"{offer}{base}\n{offer}", names: f'{names}"{base}", '}.items():
        if source.count(before) != 1:
            got = f"{source.count(before)} times; write it as it was rendered, or add the queue by hand"
            raise Refused(f"expected service/worker/__init__.py to have `{before}` once, got: {got}")
        source = source.replace(before, after)
    return source


if __name__ == "__main__":
    command(main)
