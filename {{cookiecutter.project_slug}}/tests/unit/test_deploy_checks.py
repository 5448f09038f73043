"""What a deploy refuses before it begins: a tree that is not what was committed, and migrations that break old code."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import checks
from deploy.platform import Refused

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{down}"
branch_labels = None
depends_on = None

{comment}
def upgrade() -> None:
    {statement}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the migrations of this one, committed."""
    shutil.copytree(checks.ROOT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(repository: Path, *words: str) -> str:
    person = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    run = subprocess.run(["git", *person, *words], cwd=repository, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def commit(repository: Path) -> str:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "something")
    return git(repository, "rev-parse", "HEAD")


def add(repository: Path, statement: str, comment: str = "") -> None:
    """Write the next migration, and commit it."""
    head = next(script.revision for script in checks._scripts() if script.is_head)
    text = MIGRATION.format(down=head, statement=statement, comment=comment)
    (repository / "migrations" / "versions" / "9999_next.py").write_text(text)
    commit(repository)


def test_a_tree_with_changes_is_refused_by_their_names(repository: Path) -> None:
    checks.demand_clean_tree()
    (repository / "notes.txt").write_text("not committed")
    with pytest.raises(Refused, match=r"got: changes in notes\.txt; put them aside \(keys"):
        checks.demand_clean_tree()


def test_outside_of_a_repository_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(Refused, match="expected a git repository here, got: fatal: not a git repository"):
        checks.demand_clean_tree()


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("op.drop_column('jobs', 'worker')", "ban-drop-column"),
        ("op.drop_table('job_events')", "ban-drop-table"),
        ("op.alter_column('jobs', 'worker', new_column_name='runner')", "renaming-column"),
        ("op.add_column('jobs', sa.Column('color', sa.Text, nullable=False))", "adding-required-field"),
        ("op.create_index('ix', 'jobs', ['task'])", "require-concurrent-index-creation"),
    ],
)
def test_a_migration_that_breaks_the_code_before_it_is_refused(repository: Path, statement: str, rule: str) -> None:
    before = git(repository, "rev-parse", "HEAD")
    add(repository, statement)
    with pytest.raises(Refused, match=f"expected 9999_next.py to leave the code of {before} at work, got: {rule}: "):
        checks.demand_safe_migrations(before)
    # Deployed once, it is not held against what comes after it; nor is it at a first deploy.
    assert checks.demand_safe_migrations(git(repository, "rev-parse", "HEAD")) == "no new migrations"
    assert "there is none" in checks.demand_safe_migrations("")


def test_one_that_a_release_before_has_made_harmless_says_so_itself(repository: Path) -> None:
    before = git(repository, "rev-parse", "HEAD")
    add(repository, "op.drop_column('jobs', 'worker')", "# squawk-ignore: ban-drop-column\n")
    assert checks.demand_safe_migrations(before) == "1 new migrations, which old code can live with"


def test_of_a_version_that_git_does_not_know_it_says_so_and_looks_at_every_migration(repository: Path) -> None:
    ours = len([script for script in checks._scripts() if not script.is_merge_point])
    said = f"git does not know v1.0.0, so all {ours} migrations were looked at; old code can live with them"
    assert checks.demand_safe_migrations("v1.0.0") == said
    add(repository, "op.drop_column('jobs', 'worker')")
    with pytest.raises(Refused, match=r"expected 9999_next\.py to leave the code of v1\.0\.0 at work"):
        checks.demand_safe_migrations("v1.0.0")


def test_one_that_only_adds_passes(repository: Path) -> None:
    before = git(repository, "rev-parse", "HEAD")
    add(repository, "op.add_column('jobs', sa.Column('color', sa.Text))")
    assert checks.demand_safe_migrations(before).startswith("1 new")
