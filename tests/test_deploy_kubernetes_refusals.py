"""What is refused before anything is changed in Kubernetes, each in one sentence."""

import time
from collections.abc import Iterator

import pytest

from tests import kubernetes_world
from tests.kubernetes_world import NEW, World

pytestmark = pytest.mark.deploys
world = kubernetes_world.world


@pytest.fixture(autouse=True)
def _nothing_is_changed(world: World) -> Iterator[None]:
    yield
    assert not world.cluster.objects


def test_all_settings_that_are_missing(world: World) -> None:
    """At once."""
    said = world.says(f'place.reach("{NEW}")', IMAGE="", DEPLOY_KEY_FILE="/nowhere", PATH="/nowhere")
    assert all(name in said for name in ("IMAGE", "DEPLOY_KEY_FILE", "/nowhere is no file", "apt install kubern"))


def test_no_kubeconfig(world: World) -> None:
    """Nothing says which cluster is meant."""
    said = world.says(f'place.reach("{NEW}")', DEPLOY_KEY_FILE="", KUBECONFIG="")
    assert said.startswith("Refused: expected a kubeconfig that names its cluster, got: error: current-context is")


def test_a_token_that_is_not_good_any_more(world: World) -> None:
    """Or never was."""
    key = str(world.server.kubeconfig(world.home, token="another"))
    said = world.says(f'place.reach("{NEW}")', DEPLOY_KEY_FILE=key)
    assert "to let us in, got: error: You must be logged in to the server" in said
    assert "another" not in said


def test_a_cluster_that_is_not_the_one(world: World) -> None:
    """Its certificate is another's."""
    key = str(world.server.kubeconfig(world.home, trusted=False))
    assert "x509" in world.says(f'place.reach("{NEW}")', DEPLOY_KEY_FILE=key)


def test_a_cluster_that_never_answers(world: World) -> None:
    """Is given up in time."""
    world.server.silent = True
    began = time.monotonic()
    assert "the cluster to answer" in world.says(f'place.reach("{NEW}")')
    assert time.monotonic() - began < 30


def test_a_cluster_that_is_not_there(world: World) -> None:
    """Nobody listens."""
    world.server.shutdown()
    world.server.server_close()
    assert "was refused" in world.says(f'place.reach("{NEW}")')


def test_an_account_that_may_do_too_little(world: World) -> None:
    """All that it may not do is named."""
    world.server.rules = [rule for rule in world.server.rules if rule["resources"] not in (["leases"], ["events"])]
    said = world.says(f'place.reach("{NEW}")')
    rights = "get coordination.k8s.io/leases, create coordination.k8s.io/leases, update coordination.k8s.io/leases"
    assert f"got: no right to {rights}, list events; an administrator gives it: kubectl" in said


def test_an_account_of_another_namespace(world: World) -> None:
    """Staging's key opens staging."""
    world.server.cluster.namespace = "another"
    assert "no right to" in world.says(f'place.reach("{NEW}")')


def test_a_namespace_that_is_not_there(world: World) -> None:
    """An administrator is told how to make it."""
    world.server.admin, world.server.cluster.namespace = True, "another"
    assert "got: none; make it: kubectl create namespace order-desk-staging" in world.says(f'place.reach("{NEW}")')


def test_an_image_that_is_not_there(world: World) -> None:
    """Nobody pushed it."""
    assert "team/desk:9999999 in its registry, got: none; push it" in world.says('place.reach("9999999")')


@pytest.mark.parametrize("environment", ["", "stagin", "../staging"])
def test_an_environment_that_is_none(world: World, environment: str) -> None:
    """Those that there are, are named."""
    said = world.says("place.versions()", environment)
    assert said.startswith("Refused: expected TARGET_ENV to be one of production, staging, got: ")
