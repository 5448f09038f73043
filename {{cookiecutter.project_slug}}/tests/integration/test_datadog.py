"""Metrics as Datadog's agent gets them from the service's real processes, and what being seen costs."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from service import config
from service.database import transaction
from service.jobs import submit
from service.observe import metrics as own
from service.queues import MAX_CRASHES, QUEUES
from tests.support.agent import Metrics
from tests.support.callers import Api
from tests.support.desk import Desk, fresh
from tests.support.door import PATH
from tests.support.stack import Role, free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def metrics() -> Iterator[Metrics]:
    """An agent that takes metrics."""
    with Metrics() as made:
        yield made


@pytest.fixture(scope="module")
def counted(metrics: Metrics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A service that sends it metrics."""
    with fresh(tmp_path_factory.mktemp("metrics")) as stack:
        yield Desk(stack, "worker fast", "worker slow", "beat", **metrics.environment)


class TestMetrics:
    @pytest.mark.parametrize(
        ("task", "arguments", "counts"),
        [
            ("echo", {"value": "x"}, {"accepted": 1, "started": 1, "succeeded": 1}),
            ("flaky", {"failures": 1}, {"accepted": 1, "retried": 1, "started": 2, "succeeded": 1}),
            ("broken", {}, {"accepted": 1, "failed": 1, "started": 1}),
            ("deadly", {"times": 1}, {"accepted": 1, "crashed": 1, "started": 2, "succeeded": 1}),
        ],
    )
    def test_what_happens_to_a_job_is_counted_once(
        self, metrics: Metrics, counted: Desk, task: str, arguments: dict[str, Any], counts: dict[str, int]
    ) -> None:
        counted.order(f"trials.{task}", **arguments)
        expected = {f"jobs.{name}": times for name, times in counts.items()}
        until(lambda: metrics.counts(f"trials.{task}") == expected or None)
        attempts = [each.value for each in metrics.of("jobs.attempts", task=f"trials.{task}")]
        assert attempts == [expected["jobs.started"]]
        assert len(metrics.of("jobs.wait", task=f"trials.{task}", queue="fast")) == expected["jobs.started"]
        (duration,) = metrics.of("jobs.duration", task=f"trials.{task}")
        assert 0 <= duration.value < 60

    def test_the_last_crash_is_one_although_it_ends_the_job(self, metrics: Metrics, counted: Desk) -> None:
        before = metrics.counts("trials.deadly").get("jobs.crashed", 0)
        counted.order("trials.deadly")
        until(lambda: metrics.counts("trials.deadly")["jobs.crashed"] == before + MAX_CRASHES)
        assert metrics.counts("trials.deadly")["jobs.failed"] == 1

    def test_requests_are_counted_by_operation_method_and_status(self, metrics: Metrics, counted: Desk) -> None:
        with counted.api.client() as client:
            client.get("/v1/queues")
            client.get("/v1/never-heard-of")
            client.request("PROPFIND", "/v1/queues")
            client.get("/health/live")
        until(lambda: len(metrics.of("api.requests", method="other")) == 1)
        assert len(metrics.of("api.requests", operation="queues.index", method="GET", status="200")) == 1
        assert len(metrics.of("api.duration", operation="none", method="GET", status="404")) == 1
        assert not metrics.of("api.requests", operation="health.live")

    def test_gauges_come_from_one_process(self, metrics: Metrics, counted: Desk) -> None:
        rounds = len(metrics.of("beat.workers"))
        until(lambda: len(metrics.of("beat.workers")) >= rounds + 2, seconds=60)
        assert len({each.port for each in metrics.seen if each.kind == "g"}) == 1
        assert metrics.of("beat.workers")[-1].value == 1
        workers = {each.tags["queue"]: each.value for each in metrics.of("queue.workers")}
        assert workers.keys() == QUEUES.keys()
        assert (workers["fast"], workers["slow"]) == (1, 1)

    def test_what_was_rolled_back_is_not_counted(
        self, metrics: Metrics, counted: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(own, "_agent", None)
        monkeypatch.setenv("DD_DOGSTATSD_PORT", f"{metrics.port}")
        own.configure(config.read(counted.stack.environment))
        with suppress(RuntimeError), transaction() as session:
            submit("trials.chain", {"left": 0}, idempotency_key="rolled-back", session=session)
            raise RuntimeError("the caller's own")
        counted.stack.ended(submit("trials.chain", {"left": 0}, idempotency_key="kept").id)
        until(lambda: metrics.counts("trials.chain").get("jobs.succeeded"))
        assert metrics.counts("trials.chain")["jobs.accepted"] == 1

    def test_a_broker_that_is_away_is_counted(self, metrics: Metrics, counted: Desk) -> None:
        api = Api(counted.stack, BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
        with api.client() as client:
            client.post(PATH, json={"task": "trials.echo", "arguments": {"value": "x"}})
        until(lambda: metrics.of("doorbell.failed"))


class TestOff:
    def test_costs_no_import_and_no_socket(self, tmp_path: Path) -> None:
        with fresh(tmp_path) as stack:
            stack.environment["PYTHONPROFILEIMPORTTIME"] = "1"
            desk = Desk(stack, "worker fast", "beat")
            desk.order("trials.echo", value="x")
            for role in (desk.api.role, *desk.roles):
                assert _imported(role, "service") > 5
                assert (_imported(role, "datadog"), _imported(role, "ddtrace")) == (0, 0)
                assert _datagram_sockets(role) == set()
            role = stack.start("worker", "slow", DD_AGENT_HOST="127.0.0.1", DD_TRACE_ENABLED="true")
            assert _imported(role, "datadog") > 5
            assert _imported(role, "ddtrace") > 5
            # The leader, which has gauges to tell, or else this one, which crashes somebody's job.
            desk.roles[0].kill()
            desk.roles[1].kill()
            until(lambda: _datagram_sockets(role))


class TestAway:
    def test_an_agent_that_is_away_slows_nothing_and_loses_nothing(self, tmp_path: Path) -> None:
        with fresh(tmp_path) as stack, _silent() as (port, connections):
            away = {"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": f"{free_port()}"}
            traces = {"DD_TRACE_ENABLED": "true", "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{port}"}
            desk = Desk(stack, "worker fast", "beat", **away, **traces)
            with desk.api.client() as client:
                began = time.monotonic()
                answers = [
                    client.post(PATH, json={"task": "trials.echo", "arguments": {"value": "x"}}) for _ in range(100)
                ]
                assert {answer.status_code for answer in answers} == {202}
                assert time.monotonic() - began < 30
            jobs = stack.ended(*(answer.json()["id"] for answer in answers), seconds=60)
            assert {job.state for job in jobs} == {"succeeded"}
            # It was asked all the while, and said nothing.
            until(connections)
            for role in (desk.api.role, *desk.roles):
                began = time.monotonic()
                assert role.stop() == 0
                # With nothing to do, what is left of ten seconds is the platform's.
                assert time.monotonic() - began < 10
                assert not role.said("Traceback")


def _imported(role: Role, package: str) -> int:
    return len(re.findall(rf"\|\s+{package}[.\n]", role.log.read_text()))


def _datagram_sockets(role: Role) -> set[str]:
    """The UDP sockets that a role's process has."""
    rows = [line.split() for name in ("udp", "udp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    known = {f"socket:[{row[9]}]" for row in rows}
    found = set()
    for descriptor in Path(f"/proc/{role.pid}/fd").iterdir():
        try:
            found.add(str(descriptor.readlink()))
        except OSError:
            # It was closed meanwhile.
            continue
    return found & known


@contextmanager
def _silent() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A server that lets everybody in and answers nobody; gives its port, and whether anybody came."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        listening.setblocking(False)
        yield listening.getsockname()[1], lambda: _has_caller(listening)


def _has_caller(listening: socket.socket) -> bool:
    try:
        listening.accept()
    except BlockingIOError:
        return False
    return True
