"""`make deploy` and `make rollback`: the same on a laptop and in a pipeline, one at a time for each environment."""

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from deploy import checks, history
from deploy.announce import Announcer
from deploy.platform import Failed, Place, Refused
from deploy.release import FORWARD, Release, to_go_back


class Interrupted(BaseException):
    """Somebody, or the pipeline, wants it to stop."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Deploy this service, or go back to the version before."""


@main.command()
@click.argument("environment")
@click.argument("version")
@click.argument("targets", nargs=-1, type=click.Choice(FORWARD), metavar="[TARGET]...")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
def forward(environment: str, version: str, targets: tuple[str, ...], dry_run: bool) -> None:
    """Take a version to an environment: every target, or the named ones, each when the one before it is done."""
    if not version.strip():
        raise click.UsageError("expected VERSION to name what to deploy, got: nothing; it is the tag of an image")
    wanted = targets or FORWARD
    place = _open(environment)
    if "fit" in wanted:
        checks.demand_clean_tree()
    place.reach(version)
    release = Release(place, environment, version)
    if "fit" in wanted:
        print(checks.demand_safe_migrations(release.before))
    if dry_run:
        print("\n".join(release.plan(wanted)))
        return
    with _locked(place, release, _announcer(environment, version, release.before)) as announcer:
        release.forward(wanted, announcer)


@main.command()
@click.argument("environment")
def back(environment: str) -> None:
    """Go back to the version before the last deploy; migrations stay, since old code can live with them."""
    place = _open(environment)
    release = to_go_back(place, environment)
    place.reach(release.before)
    with _locked(place, release, _announcer(environment, release.before, release.version)) as announcer:
        announcer.started()
        try:
            release.back()
        except Failed as error:
            announcer.failed(str(error), False)
            raise Failed(f"{error}; now {release.standing()}; next: the same command again") from error
        announcer.succeeded()
    print(f"{environment}: back at {release.before}")


def _open(environment: str) -> Place:
    (place,) = Path(__file__).parent.glob("*/place.py")
    opened: Callable[[str], Place] = importlib.import_module(f"deploy.{place.parent.name}.place").open
    return opened(environment)


@contextmanager
def _locked(place: Place, release: Release, announcer: Announcer) -> Iterator[Announcer]:
    """Keep others out meanwhile; whoever interrupts it is told where things stand."""
    holder = f"{history.who()} on {socket.gethostname()}"
    place.lock(holder)
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, _interrupt)
    try:
        yield announcer
    except Interrupted:
        again = f"the same command again to go on, or: make rollback TARGET_ENV={release.environment}"
        reason = f"interrupted; now {release.standing()}; next: {again}"
        announcer.failed(reason, False)
        raise Failed(reason) from None
    finally:
        # Whatever ended the deploy is the news; these are lines beside it.
        try:
            place.unlock(holder)
        except Failed as error:
            print(error, file=sys.stderr)
        for problem in announcer.problems():
            print(problem)


def _interrupt(*_: Any) -> None:
    # Once: a second one while it says where things stand would leave that unsaid.
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, signal.SIG_IGN)
    raise Interrupted


def _announcer(environment: str, version: str, before: str) -> Announcer:
    return Announcer(history.release(environment, version, before), os.environ)


if __name__ == "__main__":
    try:
        main(prog_name="make deploy")
    except (Refused, Failed) as error:
        sys.exit(str(error))
