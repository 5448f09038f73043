"""What a team would use instead, each in a folder: what it is (`__init__`), and the service on it (`app`)."""

from importlib import import_module

from benchmarks.contestant import Contestant

OURS = "ours"
NAMES = (OURS, "stock", "plain", "rq", "dramatiq", "huey", "taskiq", "procrastinate")


def contestants() -> dict[str, Contestant]:
    """Every contestant, by its name, ours first."""
    return {name: import_module(f"benchmarks.peers.{name}").CONTESTANT for name in NAMES}
