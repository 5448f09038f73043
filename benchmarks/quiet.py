"""Idle: statements and broker commands a second, and the memory of each role, on PostgreSQL and Redis."""

import re
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import Process, family
from benchmarks.roles import ROLES, begin
from benchmarks.stage import Stage

# Seconds: until what a start brings is over, and that are looked at.
SETTLE_SECONDS = 30.0
SECONDS = 60.0

ABOUT = (
    f"every role idle for {SECONDS:g} s; MB of a role with all its processes: what is theirs and, of what they share, "
    "their part (PSS), and in brackets of each process all that it maps (RSS)"
)

STATEMENT = re.compile(r" LOG: +(?:statement|execute [^:]*): (?!BEGIN|COMMIT|ROLLBACK)")


def measure(stage: Stage, settle: float = SETTLE_SECONDS, seconds: float = SECONDS) -> dict[str, Any]:
    """Start every role, and look for a while at what they do when there is nothing to do."""
    ready = stage.ready("ours", "-quiet")
    ready.empty()
    # It counts statements, which costs something of the server alone.
    stage.postgresql.ask("ALTER ROLE service SET log_statement = 'all'")
    running: dict[str, Process] = {}
    try:
        for role in ROLES:
            running[role] = begin(ready, role)
        running.pop("migrate")
        ready.rows("DELETE FROM jobs")
        time.sleep(settle)
        log = stage.postgresql.folder / "log"
        before, commands, began = log.stat().st_size, stage.redis.commands(), time.monotonic()
        time.sleep(seconds)
        lasted = time.monotonic() - began
        # Its own question is three commands.
        commands = stage.redis.commands() - commands - 3
        with log.open(errors="replace") as lines:
            lines.seek(before)
            statements = sum(bool(STATEMENT.search(line)) for line in lines)
        memory = {
            role: {"memory_mb": round(each.memory()), "rss_mb": round(mapped(each))} for role, each in running.items()
        }
    finally:
        stage.postgresql.ask("ALTER ROLE service RESET log_statement")
        for process in running.values():
            process.stop()
    rates = {"statements_per_second": round(statements / lasted, 2), "commands_per_second": round(commands / lasted, 2)}
    return {"about": ABOUT, **rates, "roles": memory}


def mapped(process: Process) -> float:
    """MB that each of a role's processes maps, added up; what they share counts once for each."""
    total = 0
    for pid in family(process.pid):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total * 1024 / 1e6
