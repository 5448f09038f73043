"""The schema's version: upgrading it, and telling whether this code can work with the one that is there."""

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import service
from service.database import AWAY, engine, fault
from service.errors import StartRefused

# Beside the package, in the repository as in the image.
MIGRATIONS = Path(service.__file__).parents[1] / "migrations"


def upgrade() -> tuple[str | None, str | None]:
    """Apply what is missing; gives the versions before and after. A newer schema is left as it is."""
    before = current()
    if before is None or before in known():
        command.upgrade(_config(), "head")
    return before, current()


def behind() -> str | None:
    """The version that this code needs, if the database is older; None if it is the same, or newer.

    A newer schema is one whose version this code has never heard of: migrations only add, so old code can use it.
    """
    present, head = current(), _scripts().get_current_head()
    return head if present is None or (present in known() and present != head) else None


def demand_current() -> None:
    """Let a role start only where the database is there and not older than the code.

    Raises:
        StartRefused: naming the command that mends it.
    """
    try:
        missing = behind()
    except AWAY as error:
        raise StartRefused(fault(error)) from error
    if missing:
        raise StartRefused(f"expected a database at {missing}, got: an older one; run `python -m service migrate`")


def current() -> str | None:
    """The database's version."""
    with engine().execution_options(standalone=True).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def known() -> frozenset[str]:
    """The versions that this code has migrations for."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


@functools.cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
