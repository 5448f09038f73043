"""Taking over: an old shop with one fault in each task, and the same shop with each fault corrected."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from local.takeover.finding import Finding
from local.takeover.project import Project
from local.takeover.rules import findings
from local.takeover.source import read
from tests.support.stack import ROOT

SHOPS = ROOT / "tests" / "support" / "takeover"

# What the remedy of each rule must name of this service.
REMEDIES = {
    "acks": "base=FastTask or SlowTask",
    "backoff": "base=FastTask or SlowTask",
    "before-commit": "session=session",
    "broad-retry": "UpstreamError",
    "database-broker": "BROKER_URL",
    "endless-retry": "base=FastTask or SlowTask",
    "object-argument": "self.job.transaction()",
    "pickle": "JSON alone",
    "pool": "service/queues.py",
    "rate-limit": "service.outbound.client",
    "results": "GET /v1/jobs/ID",
    "swallowed-limit": "SoftTimeLimitExceeded",
    "time-limit": "base=SlowTask (1500 s, killed after 1800 s)",
    "unnamed-argument": "submit",
    "visibility": "run_at",
    "waiting": "callback_url",
    "waiting-in-task": "self.job.submit",
}


def shop(which: str, folder: Path) -> Path:
    """One of the shops as a package, which only the check reads."""
    package = folder / which / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for text in (SHOPS / which).glob("*.txt"):
        shutil.copy(text, package / f"{text.stem}.py")
    return package


def marks() -> list[tuple[str, int, str]]:
    """Each line of the old shop that says what is found there."""
    return [
        (text.stem, number, found[1])
        for text in sorted((SHOPS / "old").glob("*.txt"))
        for number, line in enumerate(text.read_text().splitlines(), 1)
        if (found := re.search(r"# finds: (\S+)$", line))
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """What is found in the old shop."""
    return findings(Project(read(shop("old", tmp_path_factory.mktemp("old")))))


@pytest.mark.parametrize(("module", "line", "rule"), marks())
def test_a_fault_is_found_once_and_where_it_stands(found: list[Finding], module: str, line: int, rule: str) -> None:
    here = [each for each in found if (Path(each.path).stem, each.line) == (module, line)]
    assert [each.rule for each in here] == [rule]
    assert all([here[0].task, here[0].expected, here[0].got, here[0].costs])


def test_nothing_else_is_found(found: list[Finding]) -> None:
    places = Counter((Path(each.path).stem, each.line, each.rule) for each in found)
    assert places == Counter(marks())


@pytest.mark.parametrize(("rule", "word"), REMEDIES.items())
def test_the_remedy_is_one_of_this_service(found: list[Finding], rule: str, word: str) -> None:
    remedies = {each.remedy for each in found if each.rule == rule}
    assert remedies
    assert all(word in remedy for remedy in remedies)


def test_every_rule_has_its_fault_in_the_shop(found: list[Finding]) -> None:
    assert {each.rule for each in found} == set(REMEDIES)


def test_a_finding_names_the_task_that_is_sent_and_not_the_sender(found: list[Finding]) -> None:
    sent = {each.task for each in found if Path(each.path).stem == "views"}
    assert sent == {"shop.tasks.good", "shop.tasks.model", "shop.tasks.moment"}


def test_no_password_of_an_address_is_shown(found: list[Finding]) -> None:
    assert "secret" not in "".join(map(str, found))


def test_with_its_faults_corrected_nothing_is_found(tmp_path: Path) -> None:
    project = Project(read(shop("new", tmp_path)))
    assert len(project.tasks) == len(Project(read(shop("old", tmp_path))).tasks)
    assert findings(project) == []


def test_nothing_is_found_in_the_tasks_of_this_service() -> None:
    project = Project(read(ROOT / "service" / "tasks"))
    assert "service.tasks.maintenance.purge" in {task.name for task in project.tasks}
    assert findings(project) == []
