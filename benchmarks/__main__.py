"""`make bench`: rendering, starting, long backlogs, batches, jobs that wait, recovery, idling, being observed."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
ROUNDS = 5


def main() -> None:
    """Measure everything, and print a line for each."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        service = render(REPOSITORY, scratch / "first")
        rendering(scratch, service)
        run(os.environ.get("UV", "uv"), "sync", "--quiet", cwd=service)
        starting(service)
        probing(service)
        backlog(service)
        batches(service)
        waiting(service)
        recovery(service)
        idling(service)
        observed(service)


def rendering(scratch: Path, service: Path) -> None:
    """Rendering with the default answers, beside cookiecutter copying the same files as they are."""
    plain = scratch / "plain"
    shutil.copytree(service, plain / "{{cookiecutter.project_slug}}")
    (plain / "cookiecutter.json").write_text('{"project_slug": "order-desk", "_copy_without_render": ["*"]}')
    ours, copied = interleaved(
        lambda round_: render(REPOSITORY, scratch / f"ours-{round_}"),
        lambda round_: render(plain, scratch / f"copied-{round_}"),
    )
    say("render with the default answers", ours)
    say("cookiecutter starts and copies the same files", copied)
    print(f"  ratio {ours / copied:.2f} (promised: at most 1.3)", flush=True)


def starting(service: Path) -> None:
    """The API's process, from its start to the moment before it listens, and the interpreter alone."""
    python = str(service / ".venv/bin/python")
    ours, alone = interleaved(
        lambda _: run(python, "-m", "benchmarks.start", cwd=service),
        lambda _: run(python, "-c", "pass", cwd=service),
        prepare=lambda: shutil.copytree(REPOSITORY / "benchmarks", service / "benchmarks"),
    )
    say("the API builds its application", ours)
    say("the interpreter alone", alone)
    print("  promised: under 1.5 s without ddtrace", flush=True)


def probing(service: Path) -> None:
    """A platform's look at a worker, beside what a probe in Python pays before it has looked at anything."""
    asked = ["env", f"STATE_DIR={service}", "HEARTBEAT_SECONDS=300", "./alive", "worker-fast"]
    ours, celery = interleaved(
        lambda _: run(*asked, cwd=service),
        lambda _: run(str(service / ".venv/bin/python"), "-c", "import celery", cwd=service),
        prepare=lambda: (service / "worker-fast.heartbeat").touch(),
    )
    say("a probe of a worker", ours)
    say("a Python that imports Celery", celery)
    print(f"  ratio {ours / celery:.2f} (promised: at most 0.5)", flush=True)


def backlog(service: Path) -> None:
    """Statements that every job meets, at 1,000, 10,000 and 100,000 waiting jobs."""
    run(str(service / ".venv/bin/python"), "-m", "benchmarks.backlog", cwd=service, quiet=False)


def batches(service: Path) -> None:
    """Many jobs as one, and one by one."""
    run(str(service / ".venv/bin/python"), "-W", "ignore", "-m", "benchmarks.batches", cwd=service, quiet=False)


def waiting(service: Path) -> None:
    """Jobs that wait on a third party, in greenlets and in processes."""
    print("jobs that wait a second each, on SQLite", flush=True)
    run(str(service / ".venv/bin/python"), "-W", "ignore", "-m", "benchmarks.waiting", cwd=service, quiet=False)


def recovery(service: Path) -> None:
    """How fast the service is itself again when something is broken, with the settings that it is rendered with."""
    print("recovery, on SQLite", flush=True)
    run(str(service / ".venv/bin/python"), "-W", "ignore", "-m", "benchmarks.recovery", cwd=service, quiet=False)


def idling(service: Path) -> None:
    """What grows in Redis while nothing happens."""
    print("idle, every role and a probe", flush=True)
    run(str(service / ".venv/bin/python"), "-W", "ignore", "-m", "benchmarks.idle", cwd=service, quiet=False)


def observed(service: Path) -> None:
    """What logs, metrics, traces and error events cost."""
    print("observed, on SQLite", flush=True)
    run(str(service / ".venv/bin/python"), "-W", "ignore", "-m", "benchmarks.observed", cwd=service, quiet=False)


def render(template: Path, target: Path) -> Path:
    """Render a template with its default answers; gives the project's folder."""
    run(sys.executable, "-m", "cookiecutter", "--no-input", "--output-dir", str(target), str(template), cwd=REPOSITORY)
    return target / "order-desk"


def interleaved(
    *contestants: Callable[[int], object], prepare: Callable[[], object] = lambda: None
) -> tuple[float, ...]:
    """The median seconds of each contestant, in rounds that take turns, after one that does not count."""
    prepare()
    seconds: list[list[float]] = [[] for _ in contestants]
    for round_ in range(ROUNDS + 1):
        for contestant, taken in zip(contestants, seconds, strict=True):
            began = time.perf_counter()
            contestant(round_)
            taken.append(time.perf_counter() - began)
    return tuple(statistics.median(taken[1:]) for taken in seconds)


def run(*command: str, cwd: Path, quiet: bool = True) -> None:
    """Run a command, and end with what it said where it fails."""
    # A user's Python keeps the bytecode of its first run.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=quiet, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")


def say(what: str, seconds: float) -> None:
    """Print one line."""
    print(f"{seconds * 1000:8.0f} ms  {what}", flush=True)


if __name__ == "__main__":
    main()
