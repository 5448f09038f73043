"""What a deploy to one machine says of settings that Compose cannot read; Docker and ssh are stood in for."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import Render

# It lets in, and takes Docker's commands.
SSH = """#!/bin/sh
while [ "$1" != -L ]; do shift; done
touch "${2%%:*}"
exec cat
"""
# Compose as it is since 2.30: it quotes what it cannot read.
DOCKER = """#!/bin/sh
case "$*" in
*config*)
  echo "failed to read $SETTINGS_FILE: line 2: key cannot contain a space: $(tail -n 1 "$SETTINGS_FILE")" >&2
  exit 1
esac
"""
REACH = """
from deploy.compose.place import open
from deploy.platform import Refused
try:
    open("staging").reach("1a2b3c4")
except Refused as error:
    print(error)
"""


def test_no_line_of_the_settings_is_in_the_log_of_a_deploy(render: Render, tmp_path: Path) -> None:
    """A pipeline's log is read by more people than its secrets."""
    for name, text in {"ssh": SSH, "docker": DOCKER}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    settings = tmp_path / "settings"
    settings.write_text("BROKER_URL=redis://broker/0\nDATABASE_URL postgresql://u:hunter2@store/x\n")
    service = render(deploy="compose")
    environment = service / "deploy" / "compose" / "staging.env"
    before = environment.read_text()
    environment.write_text(
        "DOCKER_HOST=ssh://deployer@staging.example.com\nHOST_KEY=staging.example.com ssh-ed25519 A\n"
    )
    try:
        more = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SETTINGS_FILE": str(settings), "IMAGE": "desk"}
        command = [sys.executable, "-B", "-c", REACH]
        run = subprocess.run(
            command, cwd=service, env=os.environ | more, capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        environment.write_text(before)
    assert run.stdout.startswith(
        "expected SETTINGS_FILE to be NAME=value on each line, got: one that Compose cannot read"
    )
    assert "hunter2" not in run.stdout + run.stderr
