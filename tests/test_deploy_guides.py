"""What the pages below deploy/ have people type where secrets go through it; aws and kubectl are stood in for."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CHOICES, Render, commands

SECRET = " s3cret\\with 'all' %s of \"it "
PROGRAM = """#!/bin/sh
printf '%s\\n' "$*" >>"$HOME/calls"
case "$*" in
*create-access-key*) printf 'AKIA1\\ts3cret\\n' ;;
*/dev/stdin*) cat >>"$HOME/told" && printf '\\n' >>"$HOME/told" ;;
esac
"""


def typed(folder: Path, word: str, home: Path, given: str = "") -> list[str]:
    """Type the one command of a page that has this word; gives what the programs were told, a line each."""
    (command,) = (each for each in commands(folder) if word in each)
    for name in ("aws", "kubectl"):
        (home / name).write_text(PROGRAM)
        (home / name).chmod(0o755)
    (home / ".config" / "order-desk").mkdir(parents=True)
    environment = {"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home)}
    subprocess.run(["bash", "-c", command], env=environment, input=given, text=True, check=True, timeout=30)
    assert "s3cret" not in (home / "calls").read_text()
    return (home / "told").read_text().splitlines() if (home / "told").exists() else []


def test_the_settings_of_ecs_go_to_their_parameters_as_they_are(render: Render, tmp_path: Path) -> None:
    """A list of processes, which everybody on a machine may see, has arguments."""
    told = typed(render(deploy="ecs") / "deploy" / "ecs", "put-parameter", tmp_path, f"{SECRET}\n" * 3)
    assert told == [SECRET] * 3
    assert (tmp_path / "calls").read_text().count("--value file:///dev/stdin") == 3


def test_the_key_of_ecs_goes_to_its_file(render: Render, tmp_path: Path) -> None:
    """In the form that AWS's programs read, and on no screen."""
    typed(render(deploy="ecs") / "deploy" / "ecs", "create-access-key", tmp_path)
    (key,) = (tmp_path / ".config" / "order-desk").iterdir()
    assert key.read_text() == "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s3cret\n"


def test_the_registry_s_token_goes_to_its_secret(render: Render, tmp_path: Path) -> None:
    """As Kubernetes reads it."""
    (told,) = typed(
        render(deploy="kubernetes") / "deploy" / "kubernetes", "dockerconfigjson", tmp_path, "s3cret-token\n"
    )
    account = {"username": "USER", "password": "s3cret-token"}
    assert json.loads(told) == {"auths": {"registry.example.com": account}}


@pytest.mark.parametrize("deploy", CHOICES["deploy"])
def test_no_page_writes_a_key_into_the_clone(render: Render, deploy: str) -> None:
    """Who commits everything, or copies the folder, would hand it on."""
    shown = commands(render(deploy=deploy) / "deploy" / deploy)
    named = [
        path for each in shown for path in re.findall(r"(?:KEY_FILE=|SETTINGS_FILE=|-f |key staging >)(\S+)", each)
    ]
    assert named
    assert [path for path in named if not path.startswith("~/.config/order-desk/")] == []
