"""Whether an image exists, asked of a registry as a deploy asks it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry import Registry

IMAGE = "team/desk"
ASK = """
import sys
from deploy.platform import Refused
from deploy.registry import demand_image
try:
    demand_image(*sys.argv[1:])
except Refused as refused:
    sys.exit(str(refused))
"""


def refused(project: Path, image: str, version: str = "1a2b3c4", **environment: str) -> str:
    """The sentence, or nothing where the image is there."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    command = [sys.executable, "-c", ASK, image, version]
    run = subprocess.run(
        command, cwd=project, env=clean | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.stderr.count("\n") <= 1, run.stderr
    assert bool(run.returncode) == bool(run.stderr)
    return run.stderr.strip()


def test_an_image_that_is_there(project: Path) -> None:
    """In a registry where everybody may look."""
    with Registry("team/desk:1a2b3c4") as registry:
        assert refused(project, f"{registry.address}/{IMAGE}") == ""


def test_an_image_that_is_not_there(project: Path) -> None:
    """The sentence names it with its version, and who pushes it."""
    with Registry("team/desk:1a2b3c4") as registry:
        said = refused(project, f"{registry.address}/{IMAGE}", "5d6e7f8")
    assert f"the image {registry.address}/team/desk:5d6e7f8 in its registry, got: none; push it" in said


@pytest.mark.parametrize("door", ["Basic", "Bearer"])
def test_a_registry_that_asks_who_is_there(project: Path, door: str) -> None:
    """It is shown the password at its door, and not before it asked."""
    with Registry("team/desk:1a2b3c4", door=door) as registry:
        image = f"{registry.address}/{IMAGE}"
        assert refused(project, image, REGISTRY_USER="ci", REGISTRY_PASSWORD="password") == ""
        assert "set REGISTRY_USER and REGISTRY_PASSWORD" in refused(project, image)
        said = refused(project, image, REGISTRY_USER="ci", REGISTRY_PASSWORD="a-wrong-one")
    assert "got: 401" in said
    assert "to others" in said
    assert "a-wrong-one" not in said


def test_a_registry_that_never_answers(project: Path) -> None:
    """Is given up within seconds."""
    with Registry() as registry:
        registry.silent = True
        said = refused(project, f"{registry.address}/{IMAGE}")
    assert f"expected the registry {registry.address} to answer, got: timed out" in said


def test_a_registry_that_is_not_there(project: Path) -> None:
    """The sentence names it."""
    with Registry() as registry:
        address = registry.address
    assert f"expected the registry {address} to answer, got: " in refused(project, f"{address}/{IMAGE}")


@pytest.mark.parametrize("image", ["", "team/desk:latest", "team/desk@sha256:0", "https://there.example/desk", "a b"])
def test_an_address_that_is_none(project: Path, image: str) -> None:
    """Refused before anybody is asked."""
    assert refused(project, image).startswith(f"expected IMAGE to be an image's address without a tag, got: {image}")


def test_a_version_that_is_no_tag(project: Path) -> None:
    """Also one that would lead elsewhere."""
    assert refused(project, IMAGE, "../blobs").startswith("expected VERSION to be an image's tag, got: ../blobs")
