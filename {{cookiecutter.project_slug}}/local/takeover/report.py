"""The report: what was found, for people or as JSON."""

import itertools
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

import click

from local.takeover.finding import Finding
from local.takeover.project import Project
from local.takeover.rules import findings
from local.takeover.source import read
from service.cli.output import Refused, printable, show


def report(given: str, as_json: bool) -> None:
    """Say what is wrong with the tasks in a file, or in all the files below a folder.

    Raises:
        click.BadParameter: nothing is there, or no Python, or no task.
        Refused: something was found, or could not be read.
    """
    source = read(_existing(given))
    project = Project(source)
    if not source.modules and not source.unreadable:
        raise _wrong("Python", given, "no file that ends in .py; give the folder of the old service's code")
    if not project.tasks and not source.unreadable:
        raise _wrong("Celery tasks", given, "none; give the folder in which @app.task or @shared_task stand")
    found = findings(project)
    counted = f"{len(project.tasks)} tasks in {len(source.modules)} files"
    if as_json:
        tasks = [{"task": task.name, "path": str(task.module.path), "line": task.node.lineno} for task in project.tasks]
        show({"tasks": tasks, "findings": [asdict(each) for each in found], "unreadable": source.unreadable}, as_json)
    elif found:
        _say(found)
    elif not source.unreadable:
        click.echo(f"nothing found: {counted} were read")
    for sentence in source.unreadable:
        click.echo(printable(sentence), err=True)
    if found or source.unreadable:
        unread = f" and {len(source.unreadable)} files that could not be read" if source.unreadable else ""
        raise Refused(f"expected no findings, got: {len(found)}{unread}, of {counted}")


def _existing(given: str) -> Path:
    if not given or not Path(given).exists():
        raise _wrong("a file or a folder", given or "PATH", "nothing there")
    return Path(given)


def _wrong(expected: str, given: str, got: str) -> click.BadParameter:
    return click.BadParameter(f"expected {expected} in {given}, got: {got}", param_hint="--tasks")


def _say(found: list[Finding]) -> None:
    """One block for each fault: its words once, and each place where it was found."""
    words = attrgetter("rule", "expected", "costs", "remedy")
    for (rule, expected, costs, remedy), places in itertools.groupby(sorted(found, key=words), words):
        click.echo(f"{rule}: expected {expected}\n  costs: {costs}\n  remedy: {remedy}")
        for each in places:
            click.echo("  " + printable(f"{each.path}:{each.line}: {each.task}, got: {each.got}"))
        click.echo()
