"""What a team makes of its service: a capability, a table and a setting of its own, and a paragraph of the README."""

import subprocess
from pathlib import Path

MODULES = {
    "service/api/refunds.py": '''"""Refunds: ordered with POST."""

from typing import Any

from service.api.accept import accept
from service.api.answer import Answer


def create(body: dict[str, Any], user: str) -> Answer:
    """Accept a refund."""
    return accept("refunds.pay", {"order": body["order"]}, client=user, run_at=body.get("run_at"))
''',
    "service/tasks/refunds.py": '''"""Refunds: money that goes back."""

from service.config import settings
from service.models.refund import Refund
from service.worker import FastTask, app


@app.task(base=FastTask, bind=True)
def pay(self: FastTask, order: str) -> dict[str, str | int]:
    """Pay back what was paid, up to the limit."""
    with self.job.transaction() as session:
        session.add(Refund(order=order))
        return {"order": order, "limit": settings().refund_limit}
''',
    "service/models/refund.py": '''"""Paid refunds."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base


class Refund(Base):
    """One for each order."""

    __tablename__ = "refunds"

    order: Mapped[str] = mapped_column(Text, primary_key=True)
''',
    "migrations/versions/4c1d_refunds.py": '''"""Paid refunds."""

import sqlalchemy as sa
from alembic import op

revision = "4c1d"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of `service/models/refund.py`."""
    op.create_table("refunds", sa.Column("order", sa.Text, primary_key=True))
''',
    "tests/contract/test_refunds.py": '''"""Refunds over HTTP."""

from tests.contract.orders import Orders


class TestRefunds(Orders):
    path, body, task = "/v1/refunds", {"order": "A-1"}, "refunds.pay"
''',
    "tests/unit/test_refunds.py": '''"""The setting of refunds."""

from service.config import read


def test_the_limit_is_read() -> None:
    """It has a default, and is a number of euros."""
    stores = {"DATABASE_URL": "sqlite:///x", "BROKER_URL": "redis://x", "ENVIRONMENT": "test"}
    assert read(stores).refund_limit == 500
    assert read({**stores, "REFUND_LIMIT": "20"}).refund_limit == 20
''',
}
PATH = """  /v1/refunds:
    post:
      operationId: service.api.refunds.create
      x-scope: jobs:write
      tags: [refunds]
      summary: Refund an order
      description: Pays back what was paid for the order, in the background.
      parameters:
        - $ref: "#/components/parameters/IdempotencyKey"
      requestBody:
        required: true
        content:
          application/json:
            schema: { $ref: "#/components/schemas/RefundRequest" }
      responses:
        "202": { $ref: "#/components/responses/Accepted" }
        default: { $ref: "#/components/responses/Problem" }

"""
SCHEMA = """    RefundRequest:
      description: Which order to refund.
      type: object
      additionalProperties: false
      required: [order]
      properties:
        order: { type: string, minLength: 1, maxLength: 40, pattern: "^[A-Z0-9-]+$", description: Its number. }
        run_at: { $ref: "#/components/schemas/RunAt" }
      example: { order: A-1 }

"""
# Where a team would write it: a file, the line above which it stands, and the text.
LINES = [
    ("service/openapi.yaml", "  - name: jobs\n", "  - name: refunds\n    description: Money that goes back.\n"),
    ("service/openapi.yaml", "  /v1/jobs:\n", PATH),
    ("service/openapi.yaml", "    ReportRequest:\n", SCHEMA),
    ("service/config.py", "    queues: Mapping[str, Queue]", "    refund_limit: int = Field(default=500, ge=1)\n"),
    (".env.example", "# Any field of queues.py", "# The most that is paid back at once, in euros.\nREFUND_LIMIT=500\n"),
    ("README.md", "## Call it\n", "## Refunds\nWhat is above `REFUND_LIMIT` is for a person to decide.\n\n"),
]
# What the changelog asks for by hand of whoever comes from 0.1.0: lines as they should be, and commands.
BY_HAND = [
    (
        "service/api/refunds.py",
        '    return accept("refunds.pay", {"order": body["order"]}, client=user, run_at=body.get("run_at"))',
        '    later = {name: body.get(name) for name in ("run_at", "callback_url")}\n'
        '    return accept("refunds.pay", {"order": body["order"]}, client=user, **later)',
    ),
    (
        "service/openapi.yaml",
        "      example: { order: A-1 }\n",
        '        callback_url: { $ref: "#/components/schemas/CallbackUrl" }\n      example: { order: A-1 }\n',
    ),
]
COMMANDS = [
    ["alembic", "merge", "heads", "--message", "Take the template's migrations."],
    ["ruff", "check", "--fix", "--quiet", "migrations"],
    ["ruff", "format", "--quiet", "migrations"],
]


def edit(service: Path) -> None:
    """Write all of it, as far as this release has a place for it."""
    for name, text in MODULES.items():
        if (service / name).parent.is_dir():
            (service / name).write_text(text)
    for name, above, text in LINES:
        if (service / name).exists():
            _replace(service / name, above, text + above)


def written(service: Path) -> list[str]:
    """The files that hold any of it."""
    names = [*MODULES, *dict.fromkeys(name for name, _, _ in LINES)]
    return [name for name in names if (service / name).exists() and "refund" in (service / name).read_text().lower()]


def without(service: Path, name: str) -> str | None:
    """A file without what the team wrote, or nothing where all of it is the team's."""
    if name in MODULES:
        return None
    text = (service / name).read_text()
    for path, _, own in LINES:
        if path == name:
            assert text.count(own) == 1, f"expected {name} to hold what the team wrote, got: {text}"
            text = text.replace(own, "")
    return text


def by_hand(service: Path) -> None:
    """Do what the changelog asks for."""
    for name, before, after in BY_HAND:
        _replace(service / name, before, after)
    for command in COMMANDS:
        program = [str(service / ".venv" / "bin" / "python"), "-m", *command]
        subprocess.run(program, cwd=service, check=True, stdout=subprocess.DEVNULL)


def _replace(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, f"expected one {before!r} in {path.name}, got: {text.count(before)}"
    path.write_text(text.replace(before, after))
