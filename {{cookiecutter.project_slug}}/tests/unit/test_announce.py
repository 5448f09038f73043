"""What Slack is told of a release, by processes that share nothing: one message, kept up to date, and a thread."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.announce import Announcer, Release
from deploy.history import Change
from tests.support.listener import Response
from tests.support.recorder import Call, Slack
from tests.support.releases import NEW, OLD, WEB, commits, job, released


def variables(slack: Slack) -> dict[str, str]:
    """What switches this channel on."""
    return {"SLACK_API_URL": slack.url, "SLACK_BOT_TOKEN": slack.token, "SLACK_CHANNEL": slack.channel}


def announcer(slack: Slack, release: Release) -> Announcer:
    """One in this process, without a pipeline."""
    return Announcer(release, variables(slack))


def told(slack: Slack, release: Release, *deeds: str) -> None:
    """Let a job of the pipeline announce it, without a word."""
    assert job(release, variables(slack), *deeds) == ""


def text(message: dict[str, Any]) -> str:
    """All that is to be read in a message."""
    blocks = [block for each in message.get("attachments", []) for block in each["blocks"]]
    sections = [block["text"]["text"] for block in blocks if "text" in block]
    links = [element["text"] for block in blocks for element in block.get("elements", [])]
    return "\n".join([message["text"], *sections, *links])


def colour(message: dict[str, Any]) -> str:
    (attachment,) = message["attachments"]
    return {"#c62828": "red", "#f9a825": "amber", "#2e7d32": "green"}[attachment["color"]]


@pytest.fixture
def slack() -> Iterator[Slack]:
    """A channel in which nothing was said yet."""
    with Slack() as it:
        yield it


def test_one_message_is_shared_by_environments_and_targets_each_in_its_own_process(slack: Slack) -> None:
    staging, production = released(), released(environment="production", who="Ben", page=f"{WEB}/runs/2")
    told(slack, staging, "started")
    told(slack, staging, "progressed migrate", "progressed worker-fast")
    (message,) = slack.messages[:1]
    assert "*staging*: under way (migrate, worker-fast); forward from `aaaaaaaa`; by Ann" in text(message)
    assert colour(message) == "amber"
    told(slack, staging, "started", "progressed api", "succeeded")
    assert colour(message) == "green"
    told(slack, production, "started")
    assert message["text"] == "*desk bbbbbbbb*: staging done, production under way"
    assert "*staging*: done; forward" in text(message)
    assert colour(message) == "amber"
    told(slack, production, "progressed worker-fast", "succeeded")
    assert message["text"] == "*desk bbbbbbbb*: staging done, production done"
    assert colour(message) == "green"
    assert slack.tops == [message]
    assert [each["text"].partition("\n")[0] for each in slack.replies] == [
        "*staging*: `bbbbbbbb` begins, by Ann",
        "*staging*: migrate is done, in `bbbbbbbb`",
        "*staging*: worker-fast runs `bbbbbbbb`",
        "*staging*: api runs `bbbbbbbb`",
        "*staging*: done, `bbbbbbbb` runs everywhere",
        "*production*: `bbbbbbbb` begins, by Ben",
        "*production*: worker-fast runs `bbbbbbbb`",
        "*production*: done, `bbbbbbbb` runs everywhere",
    ]


def test_commits_are_linked_with_their_authors_and_so_are_the_pages_about_them(slack: Slack) -> None:
    announcer(slack, released()).started()
    said = text(slack.tops[0])
    assert f"2 commits since aaaaaaaa\n<{WEB}/commit/{2:040x}|Change 2> Ann\n<{WEB}/commit/{1:040x}|Change 1>" in said
    assert f"<{WEB}/runs/1|Pipeline> | <{WEB}/commit/{NEW}|Commit> | <{WEB}/compare/{OLD}...{NEW}|Comparison>" in said
    assert f"branch <{WEB}/tree/main|main>" in said
    assert "Warning" not in said


def test_a_failure_turns_it_red_and_is_said_to_the_whole_channel(slack: Slack) -> None:
    it = announcer(slack, released())
    it.started()
    it.failed("expected api to be healthy, got: <no answer> & more", True)
    (message, loud) = slack.tops
    assert message["text"] == "*desk bbbbbbbb*: staging failed, and rolled back"
    assert colour(message) == "red"
    assert loud["text"] == (
        "*staging*: `bbbbbbbb` failed; back at `aaaaaaaa`\n"
        "expected api to be healthy, got: &lt;no answer&gt; &amp; more"
    )
    announcer(slack, released(page=f"{WEB}/runs/2")).started()
    assert colour(message) == "amber"
    assert [each["text"].partition("\n")[0] for each in slack.replies][-1] == "*staging*: `bbbbbbbb` begins, by Ann"


def test_a_rollback_lists_what_is_undone_and_is_not_lost_in_an_old_message(slack: Slack) -> None:
    announcer(slack, released(version=OLD, before="")).succeeded()
    back = Change("rollback", commits(2), 2, repository=WEB, pages=WEB)
    announcer(slack, released(back, version=OLD, before=NEW)).started()
    message, loud = slack.tops
    assert "Going back from bbbbbbbb undoes 2 commits\n" in text(message)
    assert "rollback from `bbbbbbbb`" in text(message)
    assert "undoes 2 commits\n" in loud["text"]
    assert loud["thread_ts"] == message["ts"]
    assert f"<{WEB}/compare/{OLD}...{NEW}|What is undone>" in text(message)


def test_the_thread_of_a_version_hears_that_an_environment_went_back_from_it(slack: Slack) -> None:
    announcer(slack, released()).succeeded()
    announcer(slack, released(Change("rollback", commits(2), 2), version=OLD, before=NEW)).succeeded()
    undone, current = slack.tops
    *_, last = slack.replies
    assert (last["thread_ts"], last["text"]) == (undone["ts"], "*staging*: went back to `aaaaaaaa`, by Ann")
    assert undone["ts"] != current["ts"]


def test_the_same_version_again_and_one_without_a_history_say_so(slack: Slack) -> None:
    announcer(slack, released(Change("redeploy"), version=OLD)).started()
    why = "this is a shallow clone"
    announcer(slack, released(Change("disconnected", commits(1), 1, why))).started()
    again, apart = slack.tops
    assert "The same version again" in text(again)
    assert f"Warning: what changes is not known, since {why}; the newest commit\n<{WEB}" in text(apart)


def test_a_branch_that_is_not_the_default_is_a_warning_that_stays(slack: Slack) -> None:
    announcer(slack, released(branch="feature/<a>&b")).succeeded()
    announcer(slack, released(environment="production")).started()
    (message,) = slack.tops
    assert "Warning: <" in text(message)
    assert f"<{WEB}/tree/feature/%3Ca%3E%26b|feature/&lt;a&gt;&amp;b> is not the default branch, main" in text(message)


def test_a_message_is_found_among_the_newest_200_and_no_further(slack: Slack) -> None:
    announcer(slack, released()).started()
    others = [{"ts": f"18{number:08}.0", "text": "lunch?"} for number in range(250)]
    slack.messages += others[:150]
    announcer(slack, released()).succeeded()
    assert slack.messages[0]["text"].endswith("staging done")
    assert [call.query["limit"] for call in slack.calls if "history" in call.path][-2:] == ["200", "100"]
    slack.messages += others[150:]
    announcer(slack, released(environment="production")).started()
    assert [each["text"] for each in slack.tops if each["text"] != "lunch?"] == [
        "*desk bbbbbbbb*: staging done",
        "*desk bbbbbbbb*: production under way",
    ]


def test_a_message_of_another_app_is_none_of_ours_whatever_its_metadata_say(slack: Slack) -> None:
    payload = {"service": "desk", "version": NEW, "environments": []}
    metadata = {"event_type": "release_announced", "event_payload": payload}
    others = {"bot_id": "B0OTHERS", "ts": "1600000000.000100", "text": "theirs", "metadata": metadata}
    slack.messages.append(dict(others))
    told(slack, released(), "started", "succeeded")
    theirs, ours = slack.tops
    assert theirs == others
    assert ours["text"] == "*desk bbbbbbbb*: staging done"


def test_other_services_and_versions_have_messages_of_their_own(slack: Slack) -> None:
    for other in (released(), released(service="till"), released(version=OLD, before=NEW)):
        announcer(slack, other).started()
    assert [each["text"] for each in slack.tops] == [
        "*desk bbbbbbbb*: staging under way",
        "*till bbbbbbbb*: staging under way",
        "*desk aaaaaaaa*: staging under way",
    ]


@pytest.mark.parametrize("summary", ["<!channel> {}", "&" * 1_000_000, "\x1b[31m\u202e{}\r\n", "", "x|y> {} `*_~"])
def test_what_comes_from_git_says_nothing_of_its_own_and_is_cut(slack: Slack, summary: str) -> None:
    long = Change("forward", commits(100, summary, "<@U1> " * 100), 130, repository=WEB, pages=WEB)
    it = announcer(slack, released(long, who="<!here>" * 200, branch="<!everyone>"))
    it.started()
    it.failed("<!channel>" * 1000, False)
    assert not it.problems()
    said = "\n".join(text(each) for each in slack.messages)
    assert not [word for word in ("<!", "<@", "\x1b", "\u202e", "\r") if word in said]
    shown = text(slack.tops[0]).count(f"<{WEB}/commit/0")
    assert 1 <= shown <= 10
    assert f"\nand {130 - shown} more" in text(slack.tops[0])


def test_two_processes_that_begin_at_once_end_with_one_message(slack: Slack) -> None:
    both = threading.Barrier(2, timeout=4)
    looks = itertools.count()
    answer = slack.answer

    def together(call: Call) -> Response:
        said = answer(call)
        if "history" in call.path and next(looks) < 2:
            both.wait()
        return said

    slack.answer = together
    announcers = [announcer(slack, released(environment=name)) for name in ("staging", "production")]
    threads = [threading.Thread(target=each.started) for each in announcers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.problems() for each in announcers] == [[], []]
    (message,) = slack.tops
    assert {each["name"] for each in message["metadata"]["event_payload"]["environments"]} == {"staging", "production"}
    assert {each["thread_ts"] for each in slack.replies} == {message["ts"]}
