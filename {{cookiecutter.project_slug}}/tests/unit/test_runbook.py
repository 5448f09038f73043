"""The chapter "At 3 a.m.": every alert has its entry, of three commands that there are."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from deploy.monitors.definitions import monitors
from service import NAME
from service.cli import cli

ROOT = Path(__file__).parents[2]
CHAPTER = (ROOT / "README.md").read_text().partition("\n## At 3 a.m.\n")[2].partition("\n## ")[0]
ENTRIES = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", CHAPTER, re.MULTILINE | re.DOTALL))
PATHS = yaml.safe_load((ROOT / "service" / "openapi.yaml").read_text())["paths"]
JOB = "0197a000-0000-7000-8000-000000000000"

# What an entry's text tells to do, apart from its three commands.
DEEDS = re.compile(r"`((?:jobs|queues|tasks|tokens) [^`]+|migrate)`")


def commands(entry: str) -> list[str]:
    """The commands of an entry, in order."""
    return re.findall(r"^\$ (.*)$", entry, re.MULTILINE)


def parse(line: str) -> None:
    """Let the command line read these words, and do nothing of it."""
    words = shlex.split(re.sub(r"\$JOB|\bID\b", JOB, line).replace("NAME", "fast"))
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert name, line
        assert found, line
        command, context = found, click.Context(found, parent=context)
    command.make_context(command.name, words, parent=context)


def test_every_alert_has_its_entry_and_every_entry_its_alert() -> None:
    linked = {re.findall(r"#([a-z-]+)\n", monitor["message"])[0] for monitor in monitors()}
    assert linked == ENTRIES.keys()


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_has_three_commands_and_says_what_their_output_means(entry: str) -> None:
    assert len(commands(ENTRIES[entry])) == 3
    assert len(re.findall(r"^- ", ENTRIES[entry], re.MULTILINE)) >= 3


@pytest.mark.parametrize("command", sorted({line for entry in ENTRIES.values() for line in commands(entry)}))
def test_its_commands_exist(command: str) -> None:
    program, _, rest = command.partition(" ")
    if program == "curl":
        (path,) = re.findall(r"\$API(/[a-z0-9/]+)", rest)
        assert "get" in PATHS[path]
    else:
        assert program == NAME
        parse(rest)


@pytest.mark.parametrize("deed", sorted({deed for entry in ENTRIES.values() for deed in DEEDS.findall(entry)}))
def test_what_it_tells_to_do_can_be_done(deed: str) -> None:
    # "`jobs show`" and "`tasks list`" speak of a command that was run above, without its words.
    if deed in {"jobs show", "jobs list", "queues list", "tasks list"}:
        return
    parse(deed)


def test_its_links_lead_somewhere() -> None:
    assert {*re.findall(r"\]\(#([a-z-]+)\)", CHAPTER)} <= ENTRIES.keys()


@pytest.mark.parametrize("wrong", ["jobs lst", "jobs list --stat failed", "queues resume", "jobs list --state lost"])
def test_a_command_that_does_not_exist_would_be_noticed(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parse(wrong)
