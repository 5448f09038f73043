"""What docs/ says of changes to come, done to a service."""

import json
import subprocess
from pathlib import Path

from tests.conftest import CHOICES, REPOSITORY, commit, tool


def test_every_answer_can_be_changed_later(tmp_path: Path) -> None:
    """To the byte: it is what the other answers would have rendered."""
    texts = {"project_name": "Shop Desk", "project_slug": "shop-desk", "description": "Sells.", "owner": "Ann"}
    answers = json.dumps(texts | {name: values[-1] for name, values in CHOICES.items()})
    create = [tool("cruft"), "create", "--no-input", str(REPOSITORY)]
    subprocess.run(create, cwd=tmp_path, check=True)
    service = tmp_path / "order-desk"
    commit(service, "Render")
    update = [tool("cruft"), "update", "--skip-apply-ask", "--variables-to-update", answers]
    subprocess.run(update, cwd=service, check=True)
    subprocess.run([*create, "--extra-context", answers], cwd=tmp_path, check=True)
    ours, theirs = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (service, tmp_path / "shop-desk")
    )
    assert {path: text for path, text in ours.items() if path.parts[0] != ".git"} == theirs
