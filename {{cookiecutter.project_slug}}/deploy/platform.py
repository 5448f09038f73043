"""What a deploy asks of the place that it deploys to; `deploy/<place>/place.py` has the answers of one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from service.queues import QUEUES

# Forward in this order, since a worker must know a task before anyone sends it; back in the other.
ROLES = (*(f"worker-{queue}" for queue in QUEUES), "beat", "api")

# What runs once, in the new image, and ends: whether waiting jobs fit it, its migrations, and whether all is well.
ONCE = ("fit", "migrate", "verify")

# Seconds: to reach the place and be let in; for a role to be replaced, and for what runs once to end.
REACH_SECONDS = 15
STEP_SECONDS = 300

Once = Literal["fit", "migrate", "verify"]
State = Literal["under way", "done", "rolled back", "failed"]


class Refused(Exception):
    """Nothing was changed; the sentence says what was expected, what was found, and the remedy."""


class Failed(Exception):
    """A step did not end well; the sentence says what was expected and found, in the place's own words."""


@dataclass(frozen=True)
class Record:
    """The last deploy to a place: which version, which one was there before ("" for none), and how it went.

    `came` are the workers of queues that the version brought, with spaces between: the one before knows none of them.
    """

    version: str
    before: str
    state: State
    came: str = ""

    def fields(self) -> dict[str, str]:
        """As labels, or as JSON."""
        return asdict(self)


class Place(Protocol):
    """One environment of the service: where it runs, and how to change that.

    Nothing here waits without a limit, and nothing prints a secret. What cannot be done is a Refused before something
    was changed, and a Failed after; both with the place's own last words, cut to some lines.
    """

    def reach(self, version: str) -> None:
        """Hold that settings and credentials are there and let one in, and that the image of `version` exists.

        Raises:
            Refused: naming every setting that is missing at once, or what could not be reached within REACH_SECONDS.
        """

    def lock(self, holder: str) -> None:
        """Keep other deploys of this environment out; what a killed deploy left over gives way after an hour.

        Raises:
            Refused: another has it; the sentence names its holder, since when, and the command that breaks it.
        """

    def unlock(self, holder: str) -> None:
        """Let others in; a lock that another has by now is left alone, and so is none."""

    def record(self) -> Record | None:
        """The last deploy, as `remember` was told; None before the first."""

    def remember(self, record: Record) -> None:
        """Keep this in the place itself, so that another machine can go on, or back."""

    def versions(self) -> Mapping[str, str]:
        """The version that each role is set to now; roles that were never deployed are left out."""

    def once(self, what: Once, version: str) -> str:
        """Run one of ONCE in the image of `version`, wait for its end, and give what it printed, if that is known.

        Raises:
            Failed: it did not start, exited with another code than 0, or took longer than STEP_SECONDS.
        """

    def replace(self, role: str, version: str) -> None:
        """Set a role to `version`, and wait until that runs, is healthy, and nothing of it is left in another version.

        To be repeated without harm: a role that runs it already is only looked at.

        Raises:
            Failed: not within STEP_SECONDS; nothing was put back.
        """
