"""What was measured, in results.json: each step with its day, the machine, and the versions of all that took part."""

import hashlib
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers import OURS, contestants
from benchmarks.processes import Trouble, run
from benchmarks.stage import Stage

FILE = Path(__file__).with_name("results.json")

PYTHON = "import platform; print(platform.python_version())"
SAY = "from importlib.metadata import version as v; import sys; print(*(v(name) for name in sys.argv[1:]))"
OF_OURS = ("celery", "connexion", "flask", "kombu", "sqlalchemy", "psycopg", "redis", "uvicorn")


def read(file: Path = FILE) -> dict[str, Any]:
    """The newest results; nothing where there are none."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def write(found: dict[str, Any], file: Path = FILE) -> None:
    """Keep results."""
    file.write_text(json.dumps(found, indent=2) + "\n")


def digest(found: dict[str, Any]) -> str:
    """What tells these results from any others."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def present() -> str:
    """The day, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def busy(seconds: float = 1.0) -> float:
    """How much of the cores' time others take while nothing is measured, in percent."""

    def look() -> tuple[int, int]:
        fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = look()
    time.sleep(seconds)
    present_total, present_idle = look()
    return 100 * (1 - (present_idle - idle) / max(present_total - total, 1))


def machine() -> dict[str, Any]:
    """What ran it, and nothing that tells whose it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "memory_gb": round(memory),
        "system": platform.system(),
    }


def versions(stage: Stage) -> dict[str, str]:
    """Of Python, of the stores, and of what each contestant stands on, as far as they were there."""
    python = stage.service / ".venv" / "bin" / "python"
    found = {"python": run(python, "-c", PYTHON, folder=stage.scratch).strip()}
    # Only what a step needed is there.
    found |= {name: vars(stage)[name].version() for name in ("postgresql", "redis") if name in vars(stage)}
    for name, contestant in contestants().items():
        wanted = OF_OURS if name == OURS else contestant.versions
        if (name, "") not in stage.made:
            continue
        try:
            ready = stage.made[name, ""]
            said = run(ready.programs / "python", "-c", SAY, *wanted, folder=stage.scratch).split()
        except Trouble:
            continue
        ours = {f"{package} (rendered)": each for package, each in zip(wanted, said, strict=True)}
        found |= ours if name == OURS else dict(zip(wanted, said, strict=True))
    return found
