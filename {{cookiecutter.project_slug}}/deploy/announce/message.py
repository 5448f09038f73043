"""How a release reads on Slack: the message that stands for it, and what its thread is told.

Text is Slack's mrkdwn, in which only &, < and > are escaped; a section takes 3,000 characters.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.announce.channel import (
    LONGEST_LINE,
    LONGEST_REASON,
    MOST_LISTED,
    News,
    cut,
    heading,
    listed,
    short,
    strays,
)
from deploy.history import Release
from deploy.platform import ONCE

LONGEST_SECTION = 3000
FAILED, UNDER_WAY, DONE = "#c62828", "#f9a825", "#2e7d32"

Standing = Mapping[str, Any]


def standing(news: News, old: Standing | None) -> dict[str, Any]:
    """How one environment stands now, flat, as Slack keeps it."""
    release = news.release
    targets = str(old["targets"]) if old and (news.moment != "started" or goes_on(news, old)) else ""
    if news.target and news.target not in targets.split(", "):
        targets = f"{targets}, {news.target}" if targets else news.target
    return {
        "name": release.environment,
        "state": news.outcome,
        "targets": targets,
        "kind": release.change.kind,
        "before": release.before,
        "who": cut(release.who, LONGEST_LINE),
        "branch": cut(release.branch, LONGEST_LINE),
        "usual": not strays(release),
        "page": release.page,
    }


def goes_on(news: News, old: Standing | None) -> bool:
    """Whether a start is only another job of what is under way already."""
    return old is not None and (old["state"], old["page"]) == ("under way", news.release.page)


def body(news: News, standings: Sequence[Standing]) -> dict[str, Any]:
    """The message: a line for each environment, and what the latest of them changes."""
    release = news.release
    title = _escaped(f"{release.service} {short(release.version)}")
    states = ", ".join(_escaped(f"{each['name']} {each['state']}") for each in standings)
    environments = "\n".join(line for each in standings[-MOST_LISTED:] for line in _lines(each, release))
    blocks = [_section(environments), _section(_changes(release, LONGEST_SECTION))]
    if links := _links(release):
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": links}]})
    # Blocks have a colour only inside of an attachment.
    attachment = {"color": _colour(standings), "fallback": f"{title}: {states}", "blocks": blocks}
    return {"text": f"*{title}*: {states}", "attachments": [attachment]}


def reply(news: News) -> str:
    """What the thread is told."""
    release = news.release
    place, version = f"*{_escaped(release.environment)}*", f"`{_escaped(short(release.version))}`"
    match news.moment:
        case "started":
            return f"{place}: {version} begins, by {_who(release)}\n{_changes(release, LONGEST_SECTION)}"
        case "progressed":
            deed = "is done, in" if news.target in ONCE else "runs"
            return f"{place}: {_escaped(news.target)} {deed} {version}"
        case "succeeded":
            return f"{place}: done, {version} runs everywhere"
        case _:
            then = f"; back at `{_escaped(short(release.before))}`" if news.rolled_back and release.before else ""
            return f"{place}: {version} failed{then}\n{_escaped(cut(news.reason, LONGEST_REASON))}"


def reply_to_undone(news: News) -> str:
    """What the thread of a version is told that an environment went back from."""
    release = news.release
    return f"*{_escaped(release.environment)}*: went back to `{_escaped(short(release.version))}`, by {_who(release)}"


def _lines(each: Standing, release: Release) -> Iterator[str]:
    targets = f" ({each['targets']})" if each["targets"] and each["state"] != "done" else ""
    before = f" from `{_escaped(short(each['before']))}`" if each["before"] and each["kind"] != "redeploy" else ""
    branch = _link(release.change.link("tree", each["branch"]), each["branch"]) if each["branch"] else ""
    parts = [
        f"*{_escaped(each['name'])}*: {each['state']}{_escaped(targets)}",
        f"{each['kind']}{before}",
        f"by {_escaped(each['who'])}",
    ]
    yield "; ".join([*parts, f"branch {branch}"] if branch else parts)
    if not each["usual"]:
        yield f"Warning: {branch} is not the default branch, {_escaped(release.default_branch)}"


def _changes(release: Release, most: int) -> str:
    """As many commits as may be shown, and as fit; the others are counted."""
    shown, _ = listed(release.change.commits, release.change.total)
    title = _escaped(heading(release))
    lines = [
        f"{_link(each.url, cut(each.summary, LONGEST_LINE) or each.id[:8])} {_escaped(cut(each.author, LONGEST_LINE))}"
        for each in shown
    ]
    while True:
        more = release.change.total - len(lines)
        text = "\n".join([title, *lines, f"and {more} more"] if more > 0 else [title, *lines])
        if len(text) <= most or not lines:
            return text[:most]
        lines.pop()


def _links(release: Release) -> str:
    change = release.change
    pages = {"Pipeline": release.page, "Commit": change.link("commit", release.version)}
    if change.kind == "forward":
        pages["Comparison"] = change.link("compare", f"{release.before}...{release.version}")
    if change.kind == "rollback":
        pages["What is undone"] = change.link("compare", f"{release.version}...{release.before}")
    return " | ".join(_link(url, text) for text, url in pages.items() if url)


def _colour(standings: Sequence[Standing]) -> str:
    states = [each["state"] for each in standings]
    if any(state.startswith("failed") for state in states):
        return FAILED
    return UNDER_WAY if "under way" in states else DONE


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:LONGEST_SECTION]}}


def _link(url: str, text: str) -> str:
    return f"<{_escaped(url)}|{_escaped(text)}>" if url else _escaped(text)


def _who(release: Release) -> str:
    return _escaped(cut(release.who, LONGEST_LINE))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
