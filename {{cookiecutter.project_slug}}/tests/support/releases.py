"""Releases to announce; `python -m tests.support.releases DEED…` does so as a job of the pipeline, and ends."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deploy.announce import Announcer, Release
from deploy.history import Change, Commit

OLD, NEW = "a" * 40, "b" * 40
WEB = "https://code.example/team/desk"


def commits(count: int, summary: str = "Change {}", author: str = "Ann") -> list[Commit]:
    """Some commits, newest first."""
    when, email = "2026-01-02T03:04:05+01:00", "ann@example.com"
    return [
        Commit(f"{number:040x}", author, email, when, summary.format(number), f"{WEB}/commit/{number:040x}")
        for number in range(count, 0, -1)
    ]


def released(change: Change | None = None, **others: Any) -> Release:
    """A release of two commits to staging, unless it is said otherwise."""
    fields = {
        "service": "desk",
        "environment": "staging",
        "version": NEW,
        "before": OLD,
        "who": "Ann",
        "branch": "main",
        "default_branch": "main",
        "page": f"{WEB}/runs/1",
        "change": change or Change("forward", commits(2), 2, repository=WEB, pages=WEB),
    }
    return Release(**{**fields, **others})


def job(release: Release, environ: Mapping[str, str], *deeds: str) -> str:
    """Announce it in a process of its own, with all that libraries log; gives what was printed, and the problems.

    A deed is a method of the announcer and its words.
    """
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.releases", *deeds],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], **environ},
        input=json.dumps(asdict(release)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def _main() -> None:
    logging.basicConfig(level=logging.INFO)
    given = json.load(sys.stdin)
    change = given.pop("change")
    listed = [Commit(**each) for each in change.pop("commits")]
    announcer = Announcer(Release(**given, change=Change(commits=listed, **change)), os.environ)
    for deed in sys.argv[1:]:
        name, *words = deed.split()
        getattr(announcer, name)(*words)
    sys.stderr.write("\n".join(announcer.problems()))


if __name__ == "__main__":
    _main()
