"""The rules: each is one way in which Celery tasks lose, double or hold up work."""

from collections.abc import Callable, Iterator

from local.takeover.finding import Finding
from local.takeover.project import Project
from local.takeover.rules.arguments import arguments
from local.takeover.rules.commits import commits
from local.takeover.rules.delivery import delivery
from local.takeover.rules.excepts import excepts
from local.takeover.rules.limits import limits
from local.takeover.rules.retries import retries
from local.takeover.rules.stores import stores
from local.takeover.rules.waiting import waiting

Rule = Callable[[Project], Iterator[Finding]]

RULES: tuple[Rule, ...] = (limits, retries, arguments, waiting, excepts, stores, delivery, commits)


def findings(project: Project) -> list[Finding]:
    """What they find, in the order of the source; what is found in two ways is found once."""
    return sorted({finding for rule in RULES for finding in rule(project)})
