"""Channels that fail in every way: a release goes on, is told which and how, and gives no secret away."""

import time
from collections.abc import Iterator

import pytest

from deploy.announce import Announcer
from tests.support.ports import free_port
from tests.support.recorder import Recorder, Slack, status, well
from tests.support.releases import job, released
from tests.unit import test_announce, test_announce_channels

SECRETS = {
    "SLACK_BOT_TOKEN": "xoxb-5ecret",
    "SENTRY_AUTH_TOKEN": "sntrys-5ecret",
    "DD_API_KEY": "dd-5ecret",
    "PAGERDUTY_ROUTING_KEY": "pd-5ecret",
    "ANNOUNCE_WEBHOOK_TOKEN": "hook-5ecret",
}
NAMES = ["Slack", "Sentry", "Datadog", "PagerDuty", "the webhook"]


def everything(url: str) -> dict[str, str]:
    """All channels, at one address."""
    others = test_announce_channels.variables(url).values()
    environ = {"SLACK_API_URL": url, "SLACK_CHANNEL": "C1", **{name: each[name] for each in others for name in each}}
    return {**environ, **SECRETS, "ANNOUNCE_WEBHOOK_URL": f"{url}/hook/5ecret"}


@pytest.fixture
def server() -> Iterator[Recorder]:
    with Recorder() as it:
        yield it


def problems(environ: dict[str, str]) -> list[str]:
    """What a whole release says at its end."""
    it = Announcer(released(), environ)
    it.started()
    it.succeeded()
    return it.problems()


def wanted(kind: str) -> list[str]:
    return [
        f"expected {name} to hear that it started and succeeded, got: {kind}; the release is not affected"
        for name in NAMES
    ]


@pytest.mark.parametrize("number", [301, 401, 404, 500, 503])
def test_an_answer_that_is_none_is_named_by_its_status(server: Recorder, number: int) -> None:
    server.answer = status(number, Location=f"{server.url}/elsewhere")
    assert problems(everything(server.url)) == wanted(f"status {number}")
    assert "elsewhere" not in str(server.paths)


def test_nobody_there_is_named_as_such() -> None:
    assert problems(everything(f"http://127.0.0.1:{free_port()}")) == wanted("not reached (ConnectError)")


@pytest.mark.slow
def test_channels_that_hang_take_five_seconds_in_all_and_hold_up_no_other(server: Recorder) -> None:
    server.answer = server.hang
    with Slack() as slack:
        it = Announcer(released(), {**everything(server.url), **test_announce.variables(slack)})
        start = time.monotonic()
        it.started()
        assert time.monotonic() - start < 8
        assert len(slack.tops) == 1
        server.come(4)
        assert it.problems() == [
            f"expected {name} to hear that it started, got: no answer within 5 s; the release is not affected"
            for name in NAMES[1:]
        ]
        server.answer = well
        it.succeeded()
        assert {"/hook", "/v2/change/enqueue"} <= {call.path.removesuffix("/5ecret") for call in server.calls[4:]}
        assert len(it.problems()) == 4


@pytest.mark.slow
def test_a_channel_that_never_stops_answering_is_left_alone_and_told_nothing_out_of_order(server: Recorder) -> None:
    server.answer = server.dribble
    it = Announcer(released(), test_announce_channels.variables(server.url)["the webhook"])
    start = time.monotonic()
    it.started()
    it.succeeded()
    assert time.monotonic() - start < 8
    assert len(server.calls) == 1
    assert len(it.problems()) == 1


def test_a_channel_that_asks_for_patience_gets_it(server: Recorder) -> None:
    busy = status(429, **{"Retry-After": "1"})
    server.answer = lambda call: busy(call) if len(server.calls) == 1 else (200, {}, b"")
    environ = test_announce_channels.variables(server.url)["PagerDuty"]
    assert problems(environ) == []
    assert len(server.calls) == 3
    server.answer = status(429, **{"Retry-After": "3600"})
    assert [each.partition("got: ")[2] for each in problems(environ)] == ["status 429; the release is not affected"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"ok": false, "error": "not_in_channel"}', "a refusal (not_in_channel)"),
        (b'{"ok": false, "error": "no such token: xoxb-5ecret"}', "a refusal (no code)"),
        (b'{"ok": "yes"}', "a refusal (no code)"),
        (b"[]", "a refusal (no code)"),
        (b"<html>", "no JSON"),
        (b"\xff", "no JSON"),
        (b'{"ok": true}', "KeyError"),
        (b'{"ok": true, "messages": [{"metadata": 1}]}', "AttributeError"),
    ],
)
def test_slack_refuses_with_status_200(server: Recorder, answer: bytes, kind: str) -> None:
    server.answer = lambda call: (200, {}, answer)
    environ = {"SLACK_API_URL": server.url, "SLACK_BOT_TOKEN": "xoxb-5ecret", "SLACK_CHANNEL": "C1"}
    assert problems(environ) == wanted(kind)[:1]


def test_a_channel_without_its_variables_is_off_and_one_with_some_of_them_says_which_it_lacks(server: Recorder) -> None:
    assert problems({}) == []
    assert problems({"SLACK_BOT_TOKEN": "xoxb-5ecret", "SENTRY_ORG": "team", "SENTRY_PROJECT": ""}) == [
        "expected SLACK_CHANNEL to be set for Slack, got: nothing; it is told nothing",
        "expected SENTRY_AUTH_TOKEN and SENTRY_PROJECT to be set for Sentry, got: nothing; it is told nothing",
    ]
    assert not server.calls


@pytest.mark.parametrize("trouble", ["refused", "status", "redirect", "broken address", "broken token"])
def test_no_secret_is_printed_whatever_goes_wrong(server: Recorder, trouble: str) -> None:
    server.answer = status(302, Location="http://127.0.0.1:1/5ecret") if trouble == "redirect" else status(403)
    environ = everything(f"http://127.0.0.1:{free_port()}" if trouble == "refused" else server.url)
    if trouble == "broken address":
        environ |= {name: "http://5ecret:5ecret@[::1/5ecret" for name in environ if name.endswith("_URL")}
    if trouble == "broken token":
        environ |= {name: f"{secret}\nX-More: 1" for name, secret in SECRETS.items()}
    said = job(released(), environ, "started", "failed no yes")
    assert all(f"expected {name} to hear" in said for name in NAMES if name != "PagerDuty")
    assert "5ecret" not in said
