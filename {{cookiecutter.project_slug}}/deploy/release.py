"""One release: forward through its targets, back by itself when one of them fails, and a sentence for every end."""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from deploy.platform import ONCE, ROLES, Failed, Once, Place, Record, Refused, State

FORWARD = ("fit", "migrate", *ROLES, "verify")


class Hearer(Protocol):
    """Whoever is told how it goes; nothing that it does stops a release."""

    def started(self) -> None: ...
    def progressed(self, target: str) -> None: ...
    def succeeded(self) -> None: ...
    def failed(self, reason: str, rolled_back: bool) -> None: ...


class Release:
    """The deploy of one version to one environment; run again after a kill it goes on where it was."""

    def __init__(self, place: Place, environment: str, version: str, say: Callable[[str], None] = print) -> None:
        self.place, self.environment, self.version, self.say = place, environment, version, say
        last = place.record()
        if last is None or (last.state == "done" and last.version != version):
            runs = place.versions()
            self.before = runs.get("api", "")
            workers = [role for role in ROLES if role.startswith("worker-")]
            self.came = [role for role in workers if self.before and role not in runs]
        else:
            # A deploy that did not end well may have switched the API already; the last good one is what it came from.
            self.before, self.came = last.before, last.came.split()

    def plan(self, targets: Sequence[str]) -> list[str]:
        """What would be done, a line each."""
        runs = self.place.versions()
        lines = []
        for target in targets:
            if target in ROLES:
                now = runs.get(target, "nothing")
                lines.append(f"{target}: {now} -> {self.version}" + (", already there" if now == self.version else ""))
            else:
                lines.append(f"{target}: run in {self.version}")
        return lines

    def forward(self, targets: Sequence[str], hearer: Hearer) -> None:
        """Do the targets in the order of FORWARD, each when the one before it is done.

        Raises:
            Failed: with the state that things are in, and the command that comes next.
        """
        self._note("under way")
        if FORWARD[0] in targets:
            hearer.started()
        for target in sorted(targets, key=FORWARD.index):
            self.say(f"{self.environment}: {target} -> {self.version}")
            try:
                self._do(target)
            except Failed as error:
                rolled_back, reason = self._give_up(target, str(error))
                hearer.failed(reason, rolled_back)
                raise Failed(reason) from error
            hearer.progressed(target)
        if FORWARD[-1] in targets:
            self._note("done")
            hearer.succeeded()
            self.say(f"{self.environment}: {self.version} is deployed")

    def back(self) -> None:
        """Set every role that runs this version to the one before, and look whether that works.

        The worker of a queue that the one before does not know stays: it does what was sent to it meanwhile.

        Raises:
            Failed: naming the role that could not be set back.
        """
        for role in reversed(ROLES):
            if role not in self.came and self.place.versions().get(role) not in (None, self.before):
                self.say(f"{self.environment}: {role} -> {self.before}")
                self.place.replace(role, self.before)
        self._note("rolled back")
        self.say(f"{self.environment}: verify -> {self.before}")
        self.place.once("verify", self.before)

    def standing(self) -> str:
        """What runs now, in words, even where nobody can be asked."""
        try:
            runs = self.place.versions()
        except Failed as error:
            return f"nobody knows what runs ({error})"
        return ", ".join(f"{role} {runs.get(role, 'is not there')}" for role in ROLES)

    def _do(self, target: str) -> None:
        if target in ONCE:
            said = self.place.once(cast("Once", target), self.version).strip()
            if said:
                self.say(said)
        else:
            self.place.replace(target, self.version)

    def _give_up(self, target: str, reason: str) -> tuple[bool, str]:
        """Go back where something was switched; gives whether that went well, and the whole story."""
        if target in ("fit", "migrate"):
            self._note_failure()
            return False, f"{target}: {reason}; nothing was switched: {self.standing()}; mend it and deploy again"
        if not self.before or self.before == self.version:
            self._note_failure()
            return (
                False,
                f"{target}: {reason}; there is no version to go back to: {self.standing()}; deploy a fixed one",
            )
        self.say(f"{self.environment}: {target} failed: {reason}")
        try:
            self.back()
        except Failed as error:
            self._note_failure()
            again = f"make rollback TARGET_ENV={self.environment}"
            return False, f"{target}: {reason}; going back failed, too: {error}; now {self.standing()}; next: {again}"
        return True, f"{target}: {reason}; went back to {self.before}, which was verified; mend it and deploy again"

    def _note_failure(self) -> None:
        # What went wrong comes first; that it could not be written down as well is a line beside it.
        try:
            self._note("failed")
        except Failed as error:
            self.say(str(error))

    def _note(self, state: State) -> None:
        self.place.remember(Record(self.version, self.before, state, " ".join(self.came)))


def to_go_back(place: Place, environment: str, say: Callable[[str], None] = print) -> Release:
    """The release that `make rollback` undoes.

    Raises:
        Refused: there is none, or nothing was there before it.
    """
    last = place.record()
    if last is None:
        raise Refused(f"expected {environment} to remember a deploy, got: none; deploy a version by its name")
    if not last.before:
        raise Refused(f"expected a version before {last.version}, got: none; deploy a version by its name")
    return Release(place, environment, last.version, say)
