"""The schema's version: upgrading it, and telling whether this code can work with the one that is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import service
from service.database import engine

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
    present = current()
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return head if present is None or (present in known() and present != head) else None


def current() -> str | None:
    """The database's version."""
    with engine().connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def known() -> set[str]:
    """The versions that this code has migrations for."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
