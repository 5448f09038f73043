"""What a channel is, what it is told, and the words that all of them use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from deploy.announce.line import Line
from deploy.history import Commit, Release

# Commits that are listed; the rest is counted. Characters of a line, and of a reason.
MOST_LISTED, LONGEST_LINE, LONGEST_REASON = 10, 120, 1500

Moment = Literal["started", "progressed", "succeeded", "failed"]


@dataclass(frozen=True)
class News:
    """What happened to a release, and when; `began` is when this process took it up."""

    release: Release
    moment: Moment
    began: datetime
    at: datetime
    target: str = ""
    reason: str = ""
    rolled_back: bool = False

    @property
    def outcome(self) -> str:
        """How it stands, in words."""
        match self.moment:
            case "started" | "progressed":
                return "under way"
            case "succeeded":
                return "done"
            case _:
                return "failed, and rolled back" if self.rolled_back else "failed"

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        release = self.release
        kind = {"forward": "", "disconnected": ""}.get(release.change.kind, f"{release.change.kind} ")
        return f"{release.service}: {kind}{short(release.version)} to {release.environment} {self.outcome}"


class Channel(Protocol):
    """One place where people, or programs, hear of releases."""

    name: str
    # The variables that it needs; with none of them set, it is off.
    needs: tuple[str, ...]

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the settings; call nobody."""

    def tell(self, news: News, line: Line) -> None:
        """Pass it on.

        Raises:
            Exception: of any kind; it is counted as this channel's failure.
        """


def short(version: str) -> str:
    """A commit id as people say it; any other version as it is."""
    whole = len(version) == 40 and all(letter in "0123456789abcdef" for letter in version)
    return version[:8] if whole else version[:LONGEST_LINE]


def cut(text: str, most: int) -> str:
    """At most so many characters, and a sign that there were more; without what no line can show."""
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text[: most + 1])
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def heading(release: Release) -> str:
    """What the list of commits is."""
    change, count = release.change, release.change.total
    commits = f"{count} commit{'' if count == 1 else 's'}"
    match change.kind:
        case "forward":
            return f"{commits} since {short(release.before)}"
        case "rollback":
            return f"Going back from {short(release.before)} undoes {commits}"
        case "redeploy":
            return "The same version again"
        case _:
            newest = "; the newest commit" if change.commits else ""
            return f"Warning: what changes is not known, since {change.warning}{newest}"


def listed(commits: Sequence[Commit], total: int) -> tuple[Sequence[Commit], str]:
    """The commits to show, and a line about the others, or ""."""
    more = total - len(commits[:MOST_LISTED])
    return commits[:MOST_LISTED], f"and {more} more" if more > 0 else ""


def plainly(release: Release) -> list[str]:
    """The change in lines of plain text."""
    shown, more = listed(release.change.commits, release.change.total)
    lines = [
        heading(release),
        *(f"{each.id[:8]} {cut(f'{each.summary}, {each.author}', LONGEST_LINE)}" for each in shown),
    ]
    return [*lines, more] if more else lines


def strays(release: Release) -> bool:
    """Whether it is released from another branch than by habit."""
    return bool(release.branch and release.default_branch and release.branch != release.default_branch)
