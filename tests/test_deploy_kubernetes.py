"""Deploys to Kubernetes: the real kubectl against an API server that answers as Kubernetes does."""

import base64
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests import kubernetes_world
from tests.kubernetes_api import TOKEN
from tests.kubernetes_world import NEW, OLD, World

pytestmark = pytest.mark.deploys
world = kubernetes_world.world


def test_from_nothing_and_on_to_the_next_version(world: World) -> None:
    """Each target when the one before it is done, and only what belongs to it."""
    world.does(f'assert not place.versions(); forward("{OLD}")')
    said = world.does(f'print(place.versions()); forward("{NEW}"); print(place.versions())')
    order = ["fit", "migrate", "worker-fast", "worker-slow", "beat", "api", "verify"]
    assert world.cluster.done == [f"{name} {version}" for version in (OLD, NEW) for name in order]
    assert said.count(OLD) == said.count(NEW) == 4
    # Nothing of the old version is left, not even at its last work.
    assert {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in world.cluster.those("Pod", {})} == {NEW}
    assert "verify did it" in said
    assert set(world.cluster.applied["beat"]) == {"Deployment beat", "ServiceAccount beat"}
    assert {name.split()[0] for name in world.cluster.applied["settings"]} == {"ConfigMap", "NetworkPolicy"}


def test_the_account_may_do_what_a_deploy_does_and_no_more(world: World) -> None:
    """Held against the calls of a whole deploy; it looks at events when something is stuck."""
    world.does(f'place.lock("me"); forward("{OLD}"); forward("{OLD}"); place.unlock("me"); place.lock("me")')
    world.does(f'place.remember(Record("{OLD}", "", "done")); place.record()')
    allowed = {
        (verb, f"{group}/{resource}")
        for rule in world.server.rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert allowed - world.server.used == {("list", "/events")}


def test_where_keda_says_how_many_workers_there_are_a_deploy_takes_none_away(world: World, tmp_path: Path) -> None:
    """The folder as one of the overlay's bases, as its page says, with the right that comes with it."""
    scaled = replace(world, project=shutil.copytree(world.project, tmp_path / world.project.name))
    folder = scaled.project / "deploy" / "kubernetes"
    (command,) = re.findall(r"^\$ (sed -i .*)$", (folder / "README.md").read_text(), re.MULTILINE)
    world.does(f'forward("{OLD}")')
    subprocess.run(command, shell=True, cwd=scaled.project, check=True)
    assert 'cannot patch resource "scaledobjects"' in scaled.says(f'place.replace("worker-fast", "{NEW}")')
    (role,) = [each for each in yaml.safe_load_all((folder / "keda" / "ci.yaml").read_text()) if each["kind"] == "Role"]
    world.server.rules += role["rules"]
    for name in "worker-fast", "api":
        world.cluster.objects["Deployment", name]["spec"]["replicas"] = 5
        scaled.does(f'place.replace("{name}", "{NEW}")')
    assert [world.cluster.objects["Deployment", name]["spec"]["replicas"] for name in ("worker-fast", "api")] == [5, 2]
    assert ("ScaledObject", "worker-slow") not in world.cluster.objects
    assert world.cluster.objects["ScaledObject", "worker-fast"]["spec"]["scaleTargetRef"] == {"name": "worker-fast"}


def test_a_pod_of_a_node_that_has_fallen_silent(world: World) -> None:
    """It should have been gone a minute ago: nobody waits for it."""
    world.cluster.fate["beat", OLD] = "lost"
    world.does(f'place.replace("beat", "{OLD}"); place.replace("beat", "{NEW}")')
    assert len(world.cluster.those("Pod", {})) == 2


def test_the_pipelines_key_opens_its_namespace(world: World) -> None:
    """An administrator makes it from the token that the cluster gave the account."""
    token = base64.b64encode(TOKEN.encode()).decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deploy-token"}, "data": {"token": token}}
    world.cluster.objects["Secret", "deploy-token"] = secret
    world.server.admin = True
    folder = world.project / "deploy" / "kubernetes"
    administrator = world.environment(KUBECONFIG=str(world.server.kubeconfig(world.home)))
    key = world.home / "staging.kubeconfig"
    key.write_text(subprocess.check_output([folder / "key", "staging"], env=administrator, text=True))
    world.server.admin = False
    world.does(f'place.reach("{NEW}")', DEPLOY_KEY_FILE=str(key))
    world.server.admin = True
    secret["data"] = {}
    run = subprocess.run([folder / "key", "staging"], env=administrator, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert "got: nothing; try again in some seconds" in run.stderr


@pytest.mark.parametrize(
    ("fate", "why"),
    [
        ("crashes", r"worker-fast-\S+ crashes \(exit code 1\): expected DATABASE_URL, got: nothing"),
        ("no-image", r"worker-fast-\S+ cannot start \(ImagePullBackOff\): Back-off pulling image"),
        ("no-secret", r'worker-fast-\S+ cannot start \(CreateContainerConfigError\): secret "secrets" not found'),
        ("no-room", r"worker-fast-\S+ is on no node \(Unschedulable\): 0/3 nodes are available"),
        ("unready", r"worker-fast-\S+: Unhealthy: Startup probe failed: no heartbeat"),
        ("forbidden", r'FailedCreate: pods "desk-1" is forbidden: exceeded quota'),
        ("gives-up", r"1 of 1 pods of the new version, 0 ready in all, 2 there"),
    ],
)
def test_a_role_that_does_not_get_on(world: World, fate: str, why: str) -> None:
    """The sentence has the cluster's own reason, and the pod's own last words; the next version mends it."""
    world.does(f'place.replace("worker-fast", "{OLD}")')
    world.cluster.fate["worker-fast", NEW] = fate
    said = world.says(f'hurry(); place.replace("worker-fast", "{NEW}")')
    assert re.search(rf"^Failed: expected worker-fast to run {NEW}.* got: {why}", said), said
    world.does(f'place.replace("worker-fast", "{OLD}"); assert place.versions() == {{"worker-fast": "{OLD}"}}')


@pytest.mark.parametrize(
    ("fate", "why"),
    [
        ("fails", r"exit code 1: going on | expected the table to be there, got: none"),
        ("no-image", r"migrate-\S+ cannot start \(ImagePullBackOff\): Back-off pulling image"),
        ("no-secret", r'migrate-\S+ cannot start \(CreateContainerConfigError\): secret "secrets" not found'),
        ("no-room", r"migrate-\S+ is on no node \(Unschedulable\)"),
        ("hangs", r"it was still under way after 5 s"),
    ],
)
def test_a_job_that_does_not_end_well(world: World, fate: str, why: str) -> None:
    """What has not begun is taken back, so that it does not begin when nobody waits; the next try is a new job."""
    world.cluster.fate["migrate", NEW] = fate
    said = world.says(f'hurry(); place.once("migrate", "{NEW}")')
    assert re.search(rf"^Failed: expected migrate of {NEW} to end well, got: {why}", said), said
    assert bool(world.cluster.there("Job", "migrate")) == (fate == "fails")
    world.cluster.fate.clear()
    assert world.does(f'print(place.once("migrate", "{NEW}"))') == "migrate did it\n"
    assert world.cluster.done == [f"migrate {NEW}"] * 2


def test_killed_and_begun_again(world: World) -> None:
    """A migration under way is waited for, and a role that was set is looked at: nothing is done twice."""
    world.cluster.fate = {("migrate", NEW): "hangs", ("beat", NEW): "unready"}
    world.breaks_off(f'forward("{NEW}")', f"migrate {NEW}")
    del world.cluster.fate["migrate", NEW]
    world.breaks_off(f'place.once("migrate", "{NEW}"); place.replace("beat", "{NEW}")', f"beat {NEW}")
    del world.cluster.fate["beat", NEW]
    world.does(f'place.replace("beat", "{NEW}")')
    assert world.cluster.done == [f"fit {NEW}", f"migrate {NEW}", f"beat {NEW}"]


def test_a_cluster_that_stumbles(world: World) -> None:
    """What passes by itself is asked again."""
    world.cluster.fate["api", NEW] = "well"
    world.server.failing = 3
    world.does(f'place.replace("api", "{NEW}")')
    world.server.failing = 1000
    assert "unable to handle the request" in world.says(f'place.replace("api", "{OLD}")')


def test_the_lock_keeps_another_out(world: World) -> None:
    """Until it is given back; who does not have it cannot give it back."""
    world.does('place.lock("anna on build-1")')
    said = world.says('place.lock("ben on build-2")')
    assert re.search(r"got: one by anna on build-1 since 20\S+Z, 0 minutes ago; .* delete lease deploy\n", said), said
    world.does('place.unlock("ben on build-2")')
    assert "got: one by anna on build-1" in world.says('place.lock("ben on build-2")')
    # The same name is no key: it may be the same person in another window.
    assert "got: one by anna on build-1" in world.says('place.lock("anna on build-1")')
    world.cluster.objects.clear()
    world.does('place.lock("ben on build-2"); place.unlock("ben on build-2"); place.unlock("ben on build-2")')
    world.does('place.lock("anna on build-1")')


def test_a_lock_that_was_left_over(world: World) -> None:
    """Gives way after an hour, to one of those who want it; who had it takes nothing from who has it now."""
    left = """
from datetime import datetime, timedelta
class Then(datetime):
    @classmethod
    def now(cls, zone):
        return datetime.now(zone) - timedelta(minutes=MINUTES)
from deploy.kubernetes import lease
lease.datetime = Then
place.lock("killed")
del lease.datetime
lease.datetime = datetime
"""
    world.does(left.replace("MINUTES", "50"))
    assert "got: one by killed since" in world.says('place.lock("next")')
    world.cluster.objects.clear()
    third = 'other = open("staging"); other.lock("next"); place.unlock("killed"); other.unlock("next")'
    world.does(f"{left.replace('MINUTES', '61')}{third}")
    lease = world.cluster.there("Lease", "deploy")
    assert lease
    assert lease["spec"]["holderIdentity"] == ""
    world.cluster.objects.clear()
    world.does(left.replace("MINUTES", "61"))
    several = [world.start(f'place.lock("{who}")') for who in ("anna", "ben", "cleo")]
    errors = [each.communicate(timeout=60)[1] for each in several]
    assert sorted(each.returncode for each in several) == [0, 1, 1], errors


def test_a_lock_whose_answer_was_lost(world: World) -> None:
    """Is ours all the same."""
    world.server.lose = "leases"
    world.does('place.lock("me"); place.unlock("me")')


def test_the_record_is_kept_in_the_place(world: World) -> None:
    """And read by whoever comes next."""
    first, second = f'Record("{OLD}", "", "done")', f'Record("{NEW}", "{OLD}", "failed", "worker-slow")'
    world.does(f"assert place.record() is None; place.remember({first})")
    world.does(f"assert place.record() == {first}; place.remember({second})")
    world.does(f"assert place.record() == {second}")
