"""Order jobs in a contestant's own environment: `python -m benchmarks.peers.order MODULE fill 10000`."""

import sys
from importlib import import_module


def main() -> None:
    """Call the function of the contestant's app with the words that follow; numbers are numbers."""
    module, function, *words = sys.argv[1:]
    getattr(import_module(f"benchmarks.peers.{module}.app"), function)(*map(value, words))


def value(word: str) -> object:
    """A number where it is one."""
    if not word.replace(".", "", 1).isdigit():
        return word
    return float(word) if "." in word else int(word)


if __name__ == "__main__":
    main()
