"""Every command that a README shows is run, here or by the test that it names."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, tool

README = (REPOSITORY / "README.md").read_text()
# Where a command that is not run in this module is run.
ELSEWHERE = {
    "make test": "this is it",
    "make lint": ".ci/run",
    "make test-containers": ".ci/run",
}


def commands(readme: str) -> list[str]:
    """What stands behind a prompt in the transcripts."""
    return re.findall(r"^\$ (.*)$", readme, re.MULTILINE)
