"""`cruft update` carries a service from every release to the newest template, with what its team made of it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import team
from tests.conftest import REPOSITORY, commit, git, tool

pytestmark = [pytest.mark.updates, pytest.mark.timeout(600)]

HEADING = re.compile(r"^## \[([0-9.]+)\]", re.MULTILINE)


def said(folder: Path, *words: str) -> str:
    """What git says."""
    return subprocess.check_output(["git", *words], cwd=folder, text=True).strip()


def releases() -> dict[str, str]:
    """The commit of each version, oldest first: its tag, or else where its section of the changelog was last changed.

    The first of all is where a version was written down for the first time, before the service was whole.
    """
    sections: dict[str, str] = {}
    found: dict[str, str] = {}
    for each in said(REPOSITORY, "log", "--reverse", "--format=%H", "--", "CHANGELOG.md").split():
        _, *parts = HEADING.split(said(REPOSITORY, "show", f"{each}:CHANGELOG.md"))
        for version, section in zip(parts[::2], parts[1::2], strict=True):
            text = section.partition("\n")[2]
            found.setdefault("first", each)
            if sections.get(version) != text:
                sections[version], found[version] = text, each
    tags = {tag.removeprefix("v"): said(REPOSITORY, "rev-list", "-1", tag) for tag in said(REPOSITORY, "tag").split()}
    return found | {version: each for version, each in tags.items() if version in found}


SHALLOW = said(REPOSITORY, "rev-parse", "--is-shallow-repository") == "true"
RELEASES = {} if SHALLOW else releases()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the template; its newest commit is what lies in the working tree."""
    assert not SHALLOW, "expected the history of the template, got: a shallow clone; run `git fetch --unshallow`"
    clone = tmp_path_factory.mktemp("updates") / "template"
    git(clone.parent, "clone", "--quiet", str(REPOSITORY), str(clone))
    here = [f"--git-dir={clone / '.git'}", f"--work-tree={REPOSITORY}"]
    git(clone.parent, *here, "add", "--all")
    git(clone.parent, *here, "commit", "--quiet", "--allow-empty", "--message", "Newest")
    return clone


def cruft(folder: Path, *words: str) -> str:
    """Run cruft, and give what it says."""
    run = subprocess.run([tool("cruft"), *words], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def rendered(template: Path, folder: Path, *words: str) -> Path:
    """A service of one version of the template, in a repository of its own."""
    folder.mkdir()
    cruft(folder, "create", "--no-input", *words, str(template))
    service = folder / "order-desk"
    commit(service, "Render")
    return service


def edited(template: Path, folder: Path, release: str) -> Path:
    """A service of that release, as its team made it its own."""
    service = rendered(template, folder, "--checkout", RELEASES[release])
    team.edit(service)
    commit(service, "Refunds")
    return service


def files(service: Path) -> set[str]:
    """What git would commit, but for what cruft keeps for itself."""
    listed = said(service, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return {name for name in listed if (service / name).exists()} - {".cruft.json"}


@pytest.mark.parametrize("release", RELEASES or ["first"])
def test_an_update_gives_the_newest_template_and_what_the_team_wrote(
    template: Path, tmp_path: Path, release: str
) -> None:
    """To the byte: no file is older, left over or missing, nothing of the team's is lost, and nothing was rejected."""
    service = edited(template, tmp_path / "ours", release)
    ours = team.written(service)
    cruft(service, "update", "--skip-apply-ask")
    newest = rendered(template, tmp_path / "newest")
    assert files(service) == files(newest) | {name for name in ours if name in team.MODULES}
    assert "service/config.py" in ours
    for name in files(newest):
        text = team.without(service, name) if name in ours else (service / name).read_text()
        assert text == (newest / name).read_text(), name
        assert (service / name).stat().st_mode == (newest / name).stat().st_mode, name
    assert cruft(service, "check").startswith("SUCCESS")


def test_an_updated_service_is_green(template: Path, installed: Path, tmp_path: Path) -> None:
    """From the oldest release, with what the changelog asks for by hand: its linters, units, order and database."""
    service = edited(template, tmp_path / "ours", "0.1.0")
    assert team.written(service) == [*team.MODULES, *dict.fromkeys(name for name, _, _ in team.LINES)]
    shutil.copytree(installed / ".venv", service / ".venv", symlinks=True)
    migrate(service, tmp_path)
    cruft(service, "update", "--skip-apply-ask")
    team.by_hand(service)
    commit(service, "Update")
    judge = "from deploy import checks; print(checks.demand_safe_migrations('HEAD~1'))"
    assert "old code can live with" in python(service, tmp_path, "-c", judge)
    migrate(service, tmp_path)
    assert "No new upgrade operations" in python(service, tmp_path, "-m", "alembic", "check")
    shutil.copy(installed / "uv.lock", service / "uv.lock")
    for habit in (["lint"], ["test", "ONLY=tests/unit tests/contract/test_refunds.py"]):
        run = subprocess.run(["make", *habit], cwd=service, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def migrate(service: Path, folder: Path) -> None:
    """Take the service's database to the version that its code needs."""
    python(service, folder, "-m", "service", "migrate")


def python(service: Path, folder: Path, *words: str) -> str:
    """Run the service's Python, on a database that stays through the update."""
    stores = {"DATABASE_URL": f"sqlite:///{folder}/service.db", "BROKER_URL": "redis://127.0.0.1:9"}
    run = subprocess.run(
        [".venv/bin/python", *words],
        cwd=service,
        env={**os.environ, **stores, "ENVIRONMENT": "development"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr
