"""What jobs do: nothing, or wait and say in a file when they began, which the measurement reads."""

import time
from pathlib import Path


def sleep(seconds: float, marks: str) -> None:
    """Say that this attempt began, and wait."""
    with Path(marks).open("a") as file:
        file.write(f"{time.time()}\n")
    time.sleep(seconds)
