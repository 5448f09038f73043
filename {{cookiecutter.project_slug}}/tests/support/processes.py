"""The processes of this machine, as `ps` shows them."""

import subprocess
from collections.abc import Iterator


def processes() -> Iterator[tuple[int, int, int, int]]:
    """Every process of this machine: its id, its parent's, its group's, and its memory in KiB; the dead left out."""
    table = subprocess.check_output(["ps", "-e", "-o", "pid=,ppid=,pgid=,rss=,state="], text=True)
    for line in table.splitlines():
        pid, parent, group, memory, state = line.split(None, 4)
        if not state.startswith("Z"):
            yield int(pid), int(parent), int(group), int(memory)


def children(parent: int) -> list[int]:
    """The processes that another one started."""
    return sorted(pid for pid, its_parent, _, _ in processes() if its_parent == parent)
