"""What Sentry, Datadog, PagerDuty and a webhook are told of a release, of each kind and at each moment."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from datadog_api_client.v1.model.event_create_request import EventCreateRequest
from datadog_api_client.v2.model.dora_deployment_request import DORADeploymentRequest

from deploy import TEAM
from deploy.announce import Announcer, Release
from deploy.history import Change
from tests.support.recorder import Recorder
from tests.support.releases import NEW, OLD, WEB, commits, released
from tests.unit.test_monitors import model, strictly

KINDS = {
    "forward": released(),
    "rollback": released(Change("rollback", commits(2), 2), version=OLD, before=NEW),
    "redeploy": released(Change("redeploy"), before=NEW),
    "disconnected": released(Change("disconnected", commits(1), 1, "no way leads there")),
}
RELEASES = "/api/0/organizations/team/releases/"


@pytest.fixture
def server() -> Iterator[Recorder]:
    with Recorder() as it:
        yield it


def variables(url: str) -> dict[str, dict[str, str]]:
    """What switches each channel on."""
    return {
        "Sentry": {"SENTRY_AUTH_TOKEN": "s1", "SENTRY_ORG": "team", "SENTRY_PROJECT": "desk", "SENTRY_URL": url},
        "Datadog": {"DD_API_KEY": "s2", "DD_API_URL": url},
        "PagerDuty": {"PAGERDUTY_ROUTING_KEY": "s3", "PAGERDUTY_API_URL": url},
        "the webhook": {"ANNOUNCE_WEBHOOK_TOKEN": "s4", "ANNOUNCE_WEBHOOK_URL": f"{url}/hook"},
    }


def tell(server: Recorder, channel: str, release: Release, *moments: str) -> list[Any]:
    """Let a channel hear of it; gives the bodies that it was sent."""
    environ: Mapping[str, str] = variables(server.url)[channel]
    it = Announcer(release, environ)
    deeds: dict[str, Callable[[], None]] = {
        "started": it.started,
        "progressed": lambda: it.progressed("api"),
        "succeeded": it.succeeded,
        "failed": lambda: it.failed("expected api to be healthy, got: crashes", True),
    }
    for moment in moments:
        deeds[moment]()
    assert it.problems() == []
    return [call.body for call in server.calls]


def test_a_webhook_hears_of_the_start_of_success_and_of_failure_with_its_token(server: Recorder) -> None:
    started, _, failed = tell(server, "the webhook", released(), "started", "progressed", "succeeded", "failed")
    assert {call.headers["authorization"] for call in server.calls} == {"Bearer s4"}
    assert [call.body["event"] for call in server.calls] == ["started", "succeeded", "failed"]
    assert {name: started[name] for name in ("service", "environment", "version", "before", "who", "kind")} == {
        "service": "desk",
        "environment": "staging",
        "version": NEW,
        "before": OLD,
        "who": "Ann",
        "kind": "forward",
    }
    assert [each["author"] for each in started["commits"]] == ["Ann", "Ann"]
    assert (failed["reason"], failed["rolled_back"]) == ("expected api to be healthy, got: crashes", True)


@pytest.mark.parametrize("kind", KINDS)
def test_pagerduty_hears_of_a_change_as_its_documentation_has_it(server: Recorder, kind: str) -> None:
    release = KINDS[kind]
    bodies = tell(server, "PagerDuty", release, "started", "progressed", "succeeded", "failed")
    assert server.paths == ["POST /v2/change/enqueue"] * 3
    for body in bodies:
        assert set(body) == {"routing_key", "payload", "links"}
        assert body["routing_key"] == "s3"
        assert set(body["payload"]) == {"summary", "timestamp", "source", "custom_details"}
        assert body["payload"]["custom_details"]["kind"] == kind
        assert {"href": f"{WEB}/runs/1", "text": "The pipeline's run"} in body["links"]
    said = {"forward": "", "disconnected": ""}.get(kind, f"{kind} ")
    assert [body["payload"]["summary"] for body in bodies] == [
        f"desk: {said}{release.version[:8]} to staging {outcome}"
        for outcome in ("under way", "done", "failed, and rolled back")
    ]
    assert bodies[2]["payload"]["custom_details"]["reason"] == "expected api to be healthy, got: crashes"


@pytest.mark.parametrize("kind", KINDS)
def test_datadog_hears_events_and_one_deployment_that_its_own_client_understands(server: Recorder, kind: str) -> None:
    release = KINDS[kind]
    tell(server, "Datadog", release, "started", "progressed", "failed", "succeeded")
    assert server.paths == ["POST /api/v1/events"] * 3 + ["POST /api/v2/dora/deployment"]
    assert {call.headers["dd-api-key"] for call in server.calls} == {"s2"}
    *events, deployment = (call.body for call in server.calls)
    for event in events:
        strictly(event, model(EventCreateRequest, event))
        assert {"service:desk", "env:staging", f"version:{release.version}", f"kind:{kind}"} <= set(event["tags"])
    assert [event["alert_type"] for event in events] == ["info", "error", "success"]
    assert "expected api to be healthy, got: crashes" in events[1]["text"]
    strictly(deployment, model(DORADeploymentRequest, deployment))
    attributes = deployment["data"]["attributes"]
    assert (attributes["service"], attributes["env"], attributes["team"]) == ("desk", "staging", TEAM)
    assert attributes["version"] == release.version
    assert 0 <= attributes["finished_at"] - attributes["started_at"] < 60 * 10**9
    assert f"kind:{kind}" in attributes["custom_tags"]


def test_a_deployment_names_its_commit_where_the_repository_is_known(server: Recorder) -> None:
    *_, deployment = tell(server, "Datadog", released(), "succeeded")
    git = {"commit_sha": NEW, "repository_url": WEB}
    assert deployment["data"]["attributes"]["git"] == git


@pytest.mark.parametrize("kind", ["forward", "disconnected"])
def test_sentry_has_the_release_with_its_commits_before_it_runs_and_a_deploy_after(server: Recorder, kind: str) -> None:
    release, *_, deploy = tell(server, "Sentry", KINDS[kind], "started", "progressed", "succeeded")
    mine = f"{RELEASES}{NEW}/"
    dated = [f"PUT {mine}"] if kind == "forward" else []
    assert server.paths == [f"POST {RELEASES}", f"POST {RELEASES}", *dated, f"POST {mine}deploys/"]
    assert {call.headers["authorization"] for call in server.calls} == {"Bearer s1"}
    assert (release["version"], release["projects"]) == (NEW, ["desk"])
    assert {name: release["commits"][0][name] for name in ("author_name", "author_email", "timestamp")} == {
        "author_name": "Ann",
        "author_email": "ann@example.com",
        "timestamp": "2026-01-02T03:04:05+01:00",
    }
    assert (deploy["environment"], deploy["url"]) == ("staging", f"{WEB}/runs/1")
    assert deploy["dateStarted"] <= deploy["dateFinished"]


@pytest.mark.parametrize("kind", ["rollback", "redeploy"])
def test_sentry_is_not_told_that_undone_commits_came_with_the_old_version(server: Recorder, kind: str) -> None:
    version = KINDS[kind].version
    release, deploy = tell(server, "Sentry", KINDS[kind], "succeeded")
    assert server.paths == [f"POST {RELEASES}", f"POST {RELEASES}{version}/deploys/"]
    assert "commits" not in release
    assert deploy["environment"] == "staging"


def test_sentry_hears_of_no_deploy_that_failed(server: Recorder) -> None:
    tell(server, "Sentry", released(), "failed")
    assert server.calls == []


def test_a_version_is_quoted_in_an_address(server: Recorder) -> None:
    tell(server, "Sentry", released(version="v1/../x?#", before="v0"), "succeeded")
    assert server.paths[-1] == f"POST {RELEASES}v1%2F..%2Fx%3F%23/deploys/"
