"""Metrics and traces as Datadog's agent gets them from the service's real processes."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service import config
from service.database import transaction
from service.jobs import submit
from service.observe import metrics as own
from service.queues import MAX_CRASHES
from service.webhooks import secrets
from tests.support.agent import Metrics, Span, Traces
from tests.support.callers import Api
from tests.support.door import PATH
from tests.support.receiver import Receiver
from tests.support.stack import Role, Stack, free_port, until


class Desk:
    """A service with every role, and what was ordered of it."""

    def __init__(self, stack: Stack, *roles: str, **environment: str) -> None:
        self.stack = stack
        stack.environment |= {"WEBHOOK_SECRETS": secrets.mint("shop")[1], **environment}
        self.api = Api(stack)
        self.roles = [stack.start(*role.split(), ready=False) for role in roles]
        for role in self.roles:
            if role.words[0] == "worker":
                until(partial(role.said, "worker ready"), seconds=60)

    def order(self, task: str, **arguments: Any) -> str:
        """Order a job over HTTP; gives its id once it has ended."""
        with self.api.client() as client:
            job_id: str = client.post(PATH, json={"task": task, "arguments": arguments}).json()["id"]
        self.stack.ended(job_id, seconds=60)
        return job_id


@contextmanager
def fresh(directory: Path) -> Iterator[Stack]:
    """A stack on SQLite, for the tests of one class."""
    made = Stack(directory)
    try:
        made.prepare()
        yield made
    finally:
        made.end()


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


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    """An agent that takes traces."""
    with Traces(tmp_path_factory.mktemp("agent")) as made:
        yield made


@pytest.fixture(scope="module")
def traced(traces: Traces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A service that sends it traces."""
    with fresh(tmp_path_factory.mktemp("traces")) as stack:
        yield Desk(stack, "worker fast", **traces.environment)


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
        assert {each.tags["queue"]: each.value for each in metrics.of("queue.workers")[-2:]} == {"fast": 1, "slow": 1}

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


SECRET = "correct-horse-battery-staple"


class TestTraces:
    def test_one_trace_goes_from_the_request_to_the_third_party_and_the_webhook(
        self, traces: Traces, traced: Desk
    ) -> None:
        answers = iter([503, 204])
        with Receiver(answer=lambda _: (next(answers), {})) as upstream, Receiver() as hook:
            trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
            with traced.api.client() as client:
                body = {
                    "url": f"{upstream.url}?key={SECRET}",
                    "message": SECRET,
                    "callback_url": f"{hook.url}?{SECRET}",
                }
                sent = {
                    "traceparent": f"00-{trace_id}-{parent}-01",
                    "tracestate": f"dd=t.usr.id:{SECRET},other={SECRET}",
                    "baggage": f"user.id={SECRET}",
                    "x-datadog-origin": SECRET,
                    "x-datadog-tags": f"_dd.p.x={SECRET}",
                    "User-Agent": SECRET,
                    "Idempotency-Key": SECRET,
                    "Cookie": f"session={SECRET}",
                }
                answer = client.post("/v1/notifications", json=body, headers=sent)
                (job,) = traced.stack.ended(answer.json()["id"], seconds=60)
                client.get(f"/v1/jobs/{job.id}?x={SECRET}")
                client.get(f"/v1/{SECRET}")
                client.request(SECRET.upper(), "/v1/queues")
            until(lambda: hook.sent, seconds=60)
            spans = until(lambda: _complete(traces.spans(trace_id)), seconds=30)
        (request,) = _named(spans, "api.request")
        assert f"{request['parent_id']:016x}" == parent
        assert request["resource"] == "POST notifications.create"
        attempts = _named(spans, "job.attempt")
        told = [(span["resource"], span["meta"]["attempt"], span["error"]) for span in attempts]
        assert told == [("notifications.send", "1", 1), ("notifications.send", "2", 0), ("webhooks.deliver", "1", 0)]
        assert [span["meta"]["job_id"] for span in attempts[:2]] == [job.id, job.id]
        assert {span["meta"]["queue"] for span in attempts} == {"fast"}
        calls = _named(spans, "http.request")
        assert [span["parent_id"] for span in calls] == [span["span_id"] for span in attempts]
        assert [span["meta"]["http.status_code"] for span in calls] == ["503", "204", "204"]
        assert {span["parent_id"] for span in _named(spans, "sqlite.query")} <= {
            span["span_id"] for span in [request, *attempts]
        }
        # Strangers are told nothing of it.
        for sent_out in (*upstream.sent, *hook.sent):
            assert not [name for name in sent_out.headers if name.startswith(("x-datadog", "trace", "baggage"))]
        assert trace_id not in json.dumps([dict(each.headers) for each in (*upstream.sent, *hook.sent)])

        self.lines_are_joined(traced, trace_id, request, attempts)
        raw = json.dumps(traces.spans())
        assert SECRET not in raw
        assert SECRET.upper() not in raw
        assert not [span for span in traces.spans() if span["parent_id"] == 0 and span["type"] == "sql"]

    def lines_are_joined(self, traced: Desk, trace_id: str, request: Span, attempts: list[Span]) -> None:
        """Each line of the log names its span."""
        lines = _lines(traced.api.role) + _lines(traced.roles[0])
        mine = [line for line in lines if line.get("dd.trace_id") == trace_id]
        assert {line["dd.span_id"] for line in mine if line["event"] == "request served"} == {f"{request['span_id']}"}
        ended = [line["dd.span_id"] for line in mine if re.fullmatch("job (retrying|succeeded)", line["event"])]
        assert ended == [f"{span['span_id']}" for span in attempts]

    def test_a_refused_request_has_a_span_and_a_probe_has_none(self, traces: Traces, traced: Desk) -> None:
        with traced.api.client() as client:
            client.get("/health/ready")
            refused = client.post("/v1/notifications", json={"url": 1}, headers={"traceparent": f"00-{SECRET}-1-01"})
            assert refused.status_code == 400
            assert client.get("/v1/queues", headers={"Authorization": "Bearer x"}).status_code == 401
        wanted = {("POST notifications.create", "400"), ("GET queues.index", "401")}
        until(lambda: wanted <= {_summary(span) for span in _named(traces.spans(), "api.request")})
        assert not [span for span in traces.spans() if "health" in span["resource"]]

    @pytest.mark.parametrize(("task", "attempts"), [("trials.flaky", ["1", "2"]), ("trials.deadly", ["2"])])
    def test_attempts_of_a_job_that_nobody_asked_for_share_a_trace(
        self, traces: Traces, traced: Desk, task: str, attempts: list[str]
    ) -> None:
        # Of an attempt whose process is killed there is no span; the log and the job's history tell of it.
        arguments = {"failures": 1} if task == "trials.flaky" else {"times": 1}
        job = traced.stack.submit(task, **arguments)
        traced.stack.ended(job.id, seconds=60)
        found = until(lambda: _of(traces.spans(job.id.replace("-", "")), attempts[-1]))
        assert [span["meta"]["attempt"] for span in _named(found, "job.attempt")] == attempts

    def test_what_a_task_puts_on_a_span_or_raises_is_not_sent(self, traces: Traces, traced: Desk) -> None:
        job = traced.stack.submit("traced.tells", secret=SECRET)
        assert traced.stack.ended(job.id, seconds=60)[0].state == "failed"
        spans = until(lambda: _of(traces.spans(job.id.replace("-", "")), "1"))
        assert {"job.attempt", "sqlite.query"} <= {span["name"] for span in spans}
        assert SECRET not in json.dumps(traces.spans())

    def test_the_last_spans_are_sent_when_a_worker_stops(self, traces: Traces, traced: Desk) -> None:
        job = traced.stack.submit("trials.echo", value="x")
        traced.stack.ended(job.id)
        assert traced.roles[0].stop() == 0
        assert until(lambda: _of(traces.spans(job.id.replace("-", "")), "1"), seconds=5)


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


def _named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span["name"] == name]


def _summary(span: Span) -> tuple[str, str]:
    return span["resource"], span["meta"]["http.status_code"]


def _of(spans: list[Span], attempt: str) -> list[Span]:
    """The spans, once this attempt is among them."""
    return spans if [span for span in spans if span["meta"].get("attempt") == attempt] else []


def _complete(spans: list[Span]) -> list[Span]:
    """The spans, once the webhook's are among them."""
    return spans if [span for span in spans if span["resource"] == "webhooks.deliver"] else []


def _lines(role: Role) -> list[dict[str, Any]]:
    return [json.loads(line) for line in role.log.read_text().splitlines() if line.startswith("{")]


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
