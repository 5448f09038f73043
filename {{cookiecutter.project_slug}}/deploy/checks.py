"""What is looked at before anything is deployed: the working tree, and the migrations that the version brings."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from deploy.platform import Refused

ROOT = Path(__file__).parents[1]

# Seconds for git, and for the linter.
PATIENCE = 30

# Matters of taste: squawk's other rules are about what old code cannot live with, and about locks that stop it.
TASTE = (
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-robust-stmts",
    "prefer-text-field",
    "prefer-timestamp-tz",
    "require-timeout-settings",
)

# In a migration's file: `# squawk-ignore: ban-drop-column` says that a release before has made it harmless.
IGNORED = re.compile(r"^# squawk-ignore: ([a-z, -]+)$", re.MULTILINE)


def demand_clean_tree() -> None:
    """Hold that what is here is what was committed, since the place's files are taken from here.

    Raises:
        Refused: naming what was changed.
    """
    changed = _git("status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:5])
        remedy = "put them aside (keys and settings outside of the clone), or commit what belongs to the version"
        raise Refused(f"expected a clean working tree, got: changes in {names}; {remedy}")


def demand_safe_migrations(before: str) -> str:
    """Hold the migrations that came since the version `before` against squawk; gives what was looked at.

    Raises:
        Refused: old code could not live with one, or it would lock tables that old code works on.
    """
    if not before:
        return "migrations are not held against a version before, since there is none"
    known = not _run("git", "cat-file", "-e", before + "^{commit}").returncode
    # What merges two lines of migrations, the template's and the team's, changes nothing by itself.
    new = [script for script in _scripts() if not script.is_merge_point and not _known(script, before)]
    for script in reversed(new):
        ignored = {
            rule.strip() for found in IGNORED.findall(Path(script.path).read_text()) for rule in found.split(",")
        }
        problems = _squawk(_sql(script), ignored)
        if problems:
            raise Refused(
                f"expected {Path(script.path).name} to leave the code of {before} at work, got: {'; '.join(problems)}; "
                "expand now and contract in a later release, or write `# squawk-ignore: RULE` into it with the reason"
            )
    if not known:
        return f"git does not know {before}, so all {len(new)} migrations were looked at; old code can live with them"
    return f"{len(new)} new migrations, which old code can live with" if new else "no new migrations"


def _scripts() -> list[Script]:
    return list(ScriptDirectory.from_config(_config()).walk_revisions())


def _known(script: Script, before: str) -> bool:
    path = Path(script.path).relative_to(ROOT)
    return _run("git", "cat-file", "-e", f"{before}:{path}").returncode == 0


def _sql(script: Script) -> str:
    output = io.StringIO()
    config = _config(output)
    command.upgrade(config, f"{script.down_revision or 'base'}:{script.revision}", sql=True)
    return output.getvalue()


def _squawk(sql: str, ignored: set[str]) -> list[str]:
    squawk = shutil.which("squawk", path=str(Path(sys.executable).parent)) or "squawk"
    rules = f"--exclude={','.join(sorted({*TASTE, *ignored}))}"
    run = _run(squawk, "--reporter", "json", rules, "--stdin-filepath", "migration.sql", sql=sql)
    try:
        found = json.loads(run.stdout)
    except json.JSONDecodeError as error:
        raise Refused(f"expected squawk to judge the migrations, got: {run.stderr.strip()[:200]}") from error
    return list(dict.fromkeys(f"{each['rule_name']}: {each['message']}" for each in found))


def _config(output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return config


def _git(*words: str) -> str:
    run = _run("git", *words)
    if run.returncode:
        raise Refused(f"expected a git repository here, got: {run.stderr.strip()}; deploy from a clone")
    return run.stdout


def _run(*words: str, sql: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, cwd=ROOT, input=sql, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"expected {words[0]} to run, got: {error}; install it") from error
