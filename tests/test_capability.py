"""`make task` in a rendered service: what it adds works at once, and what it refuses changes nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import changed, commit

CAPABILITIES = {
    "invoices.send": "slow",
    "invoices.void_late": "fast",
    "line_items.count": "fast",
    "parcels.load": "bulk-imports",
    "refunds.pay": "slow",
    "labels.print_all": "fast",
    "address_book.sync": "slow",
    "stock.count": "bulk-imports",
    "exports.catalog": "slow",
    "exports.prices": "fast",
}
MODULES = sorted({name.partition(".")[0] for name in CAPABILITIES})
TESTS = [f"tests/contract/test_{module}.py" for module in MODULES]
ADDED = [*(f"service/{room}/{module}.py" for room in ("api", "tasks") for module in MODULES), *TESTS]
PROOF = '''"""The worker of a queue that was added does its work, and nobody else is there to do it."""

from service.jobs import State
from tests.support.stack import Stack


def test_it_does_its_job(stack: Stack) -> None:
    stack.start("worker", "bulk-imports")
    (job,) = stack.ended(stack.submit("parcels.load", subject="x").id)
    assert (job.state, job.queue, job.result) == (State.SUCCEEDED, "bulk-imports", {"subject": "x"})
'''


@pytest.fixture(scope="module")
def service(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the service with its environment and one queue more, under git."""
    copy = shutil.copytree(installed, tmp_path_factory.mktemp("capability") / "order-desk", symlinks=True)
    added = make(copy, "queue", "NAME=bulk-imports")
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("bulk-imports works as slow does: ")
    (copy / "tests" / "integration" / "test_bulk_imports.py").write_text(PROOF)
    commit(copy, "With a queue")
    return copy


def make(service: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make in the service."""
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=service, capture_output=True, text=True, check=False
    )


def test_capabilities_that_were_just_added_pass_lint_types_and_the_tests_of_every_order(service: Path) -> None:
    """Ten of them, some two in one module, each with the preset of its queue, two of a queue that was just added."""
    for name, queue in CAPABILITIES.items():
        run = make(service, "task", f"NAME={name}", f"QUEUE={queue}")
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith(f"{name} works: ")
    assert changed(service) == sorted([*ADDED, "service/openapi.yaml"])
    for name, queue in CAPABILITIES.items():
        module, _, function = name.partition(".")
        base = f"{queue.title().replace('-', '')}Task"
        assert f"def {function}(self: {base}," in (service / "service" / "tasks" / f"{module}.py").read_text()
    checked = make(service, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ours = [*TESTS, "tests/contract/test_specification.py", "tests/integration/test_bulk_imports.py"]
    tested = make(service, "test", f"ONLY={' '.join(ours)}")
    assert tested.returncode == 0, tested.stdout[-4000:]


@pytest.mark.parametrize(
    ("name", "queue", "said"),
    [
        ("reports.export", "slow", "expected a task that does not exist yet, got: reports.export"),
        ("jobs.count", "fast", "expected NAME to begin with a module of your own, got: jobs"),
        ("maintenance.sweep", "fast", "expected NAME to begin with a module of your own, got: maintenance"),
        ("invoices", "fast", "expected NAME to name a task, got: invoices; write a module and a function"),
        ("class.def", "fast", "expected NAME to name a task, got: class.def"),
        ("Invoices.send", "fast", "expected NAME to name a task, got: Invoices.send"),
        ("orders.ship", "medium", "expected QUEUE to be one of fast, slow, bulk-imports, got: medium"),
        ("orders.ship", "", "expected QUEUE to be one of fast, slow, bulk-imports, got: nothing"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(service: Path, name: str, queue: str, said: str) -> None:
    """Nothing is written then."""
    before = changed(service)
    run = make(service, "task", f"NAME={name}", f"QUEUE={queue}")
    assert run.returncode != 0
    assert run.stderr.startswith(said)
    assert changed(service) == before
