"""Traces as Datadog's agent gets them from the service's real processes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.agent import Span, Traces
from tests.support.desk import Desk, fresh
from tests.support.receiver import Receiver
from tests.support.stack import Role, until

pytestmark = pytest.mark.slow


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

    def test_whether_a_trace_is_kept_is_not_for_its_caller_to_say(self, traces: Traces, traced: Desk) -> None:
        trace_id = "5bf92f3577b34da6a3ce929d0e0e4736"
        with traced.api.client() as client:
            sent = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-00", "Authorization": "Bearer x"}
            assert client.get("/v1/queues", headers=sent).status_code == 401
        (span,) = until(lambda: _named(traces.spans(trace_id), "api.request"), seconds=30)
        # What the agent's own rate says, which is to keep all.
        assert span["metrics"]["_sampling_priority_v1"] == 1

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

    def test_the_last_spans_are_sent_when_a_process_ends(self, traces: Traces, traced: Desk) -> None:
        job = traced.stack.submit("trials.echo", value="x")
        traced.stack.ended(job.id)
        assert traced.roles[0].stop() == 0
        assert until(lambda: _of(traces.spans(job.id.replace("-", "")), "1"))


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
