"""What git and the pipeline know of a release: its commits and their authors, who releases it, and from which branch.

Nothing here fails a deploy: what cannot be found out is left empty, or said in the change's warning.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from service import NAME

ROOT = Path(__file__).parents[1]
GIT_SECONDS = 10
# Commits that are read in full, newest first; more are counted. Characters of one message that are kept.
MOST_COMMITS, LONGEST_MESSAGE = 100, 4000

Kind = Literal["forward", "rollback", "redeploy", "disconnected"]

# Hash, author and address (through .mailmap), date, whole message, each ended by NUL, which no commit can hold.
_FIELDS = "%H%x00%aN%x00%aE%x00%cI%x00%B"
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")


@dataclass(frozen=True)
class Commit:
    """One commit, its message cut; `url` is "" where the repository's page is not known."""

    id: str
    author: str
    email: str
    at: str
    message: str
    url: str

    @property
    def summary(self) -> str:
        """The first line."""
        return self.message.partition("\n")[0].strip()


@dataclass(frozen=True)
class Change:
    """What a release changes: the commits that come with it, or those that a rollback undoes, newest first.

    `total` counts all of them, merges aside; `warning` says why the commits could not be told, and is "" otherwise;
    `repository` is its page on the web and `pages` what the addresses of its other pages begin with, or "".
    """

    kind: Kind
    commits: Sequence[Commit] = ()
    total: int = 0
    warning: str = ""
    repository: str = ""
    pages: str = ""

    def link(self, what: Literal["commit", "tree", "compare"], name: str) -> str:
        """The page of a commit, a branch or a comparison; "" where that is not known."""
        return _link(self.pages, what, name)


@dataclass(frozen=True)
class Release:
    """One version on its way to one environment, and all that there is to say of it."""

    service: str
    environment: str
    version: str
    before: str
    who: str
    branch: str
    default_branch: str
    page: str
    change: Change


def release(environment: str, version: str, before: str, environ: Mapping[str, str] = os.environ) -> Release:
    """All of it, from this repository and this pipeline."""
    return Release(
        service=NAME,
        environment=environment,
        version=version,
        before=before,
        who=who(environ=environ),
        branch=branch(environ=environ),
        default_branch=default_branch(environ=environ),
        page=page(environ),
        change=between(before, version, environ=environ),
    )


def between(before: str, after: str, repository: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Change:
    """What leads from one version to another; "" before the first."""
    git, web = _Git(repository), web_page(repository, environ)
    # GitLab keeps its own pages behind a dash, since a project may have a folder of any name.
    pages = f"{web}/-" if "gitlab" in web.lower() or environ.get("CI_PROJECT_URL") else web
    old, new = git.commit(before), git.commit(after)
    if before == after or (new and old == new):
        return Change("redeploy", repository=web, pages=pages)
    if not new:
        return Change("disconnected", (), 0, f"git does not know {after[:40]}: {git.trouble}", web, pages)
    # In a shallow clone, what looks like a beginning is a cut: git would list too much, or find no way at all.
    shallow = git.says("rev-parse", "--is-shallow-repository") != "false"
    if old and not shallow and git.leads(old, new):
        return Change("forward", *git.span(old, new, pages), "", web, pages)
    if old and not shallow and git.leads(new, old):
        return Change("rollback", *git.span(new, old, pages), "", web, pages)
    if not before:
        why = "nothing was deployed here before"
    elif shallow:
        why = "this is a shallow clone; let the pipeline fetch the whole history"
    elif not old:
        why = f"git does not know {before[:40]}, which was there before"
    else:
        why = f"no way leads from {before[:40]} to {after[:40]} or back"
    return Change("disconnected", git.commits(pages, "--max-count=1", new), 1, why, web, pages)


def branch(repository: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """The branch that is released from; "" if none is checked out."""
    for name in ("CI_COMMIT_REF_NAME", "GITHUB_HEAD_REF", "GITHUB_REF_NAME"):
        if environ.get(name):
            return environ[name]
    return _Git(repository).says("symbolic-ref", "--quiet", "--short", "HEAD")


def default_branch(repository: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """The branch that releases come from by habit; "" if that is not known."""
    if environ.get("CI_DEFAULT_BRANCH"):
        return environ["CI_DEFAULT_BRANCH"]
    try:
        event = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        return str(event["repository"]["default_branch"])
    except (KeyError, OSError, TypeError, ValueError):
        head = _Git(repository).says("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        return head.removeprefix("origin/")


def who(repository: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """Who releases: the pipeline's person, or git's."""
    for name in ("GITLAB_USER_NAME", "GITHUB_ACTOR"):
        if environ.get(name):
            return environ[name]
    return _Git(repository).says("config", "user.name") or environ.get("USER", "") or "somebody"


def page(environ: Mapping[str, str] = os.environ) -> str:
    """The page of the pipeline's run; "" outside of one."""
    if environ.get("CI_PIPELINE_URL"):
        return environ["CI_PIPELINE_URL"]
    server, name, run = (environ.get(f"GITHUB_{each}", "") for each in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{name}/actions/runs/{run}" if server and name and run else ""


def web_page(repository: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """The repository on the web, without whatever lets one in; "" if that is not known."""
    if environ.get("CI_PROJECT_URL"):
        return environ["CI_PROJECT_URL"]
    if environ.get("GITHUB_SERVER_URL") and environ.get("GITHUB_REPOSITORY"):
        return f"{environ['GITHUB_SERVER_URL']}/{environ['GITHUB_REPOSITORY']}"
    remote = _Git(repository).says("remote", "get-url", "origin").removesuffix("/").removesuffix(".git")
    if remote.startswith(("https://", "ssh://")):
        parts = urlsplit(remote)
        # A port of ssh is none of the web's.
        host = parts.netloc.rpartition("@")[2] if parts.scheme == "https" else parts.hostname
        return f"https://{host}{parts.path}" if host else ""
    scp = _SCP.fullmatch(remote)
    return f"https://{scp[1]}/{scp[2].lstrip('/')}" if scp else ""


class _Git:
    """One repository; `trouble` is what git said when it last failed, on one line."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.trouble = "it is not in this clone"

    def _run(self, *words: str) -> bytes | None:
        settings = ("-c", "i18n.logOutputEncoding=UTF-8", "-c", "log.showSignature=false")
        command = ["git", "-C", str(self._repository), *settings, *words]
        try:
            run = subprocess.run(
                command,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.trouble = f"git could not be asked ({type(error).__name__})"
            return None
        if not run.returncode:
            return run.stdout
        if said := run.stderr.decode(errors="replace").strip():
            self.trouble = said.splitlines()[0][:200]
        return None

    def says(self, *words: str) -> str:
        """What it prints, or "" if it fails."""
        return (self._run(*words) or b"").decode(errors="replace").strip()

    def commit(self, version: str) -> str:
        """The whole id of a version, or ""."""
        return version and self.says("rev-parse", "--verify", "--quiet", version + "^{commit}")

    def leads(self, old: str, new: str) -> bool:
        """Whether one commit is an ancestor of the other."""
        return self._run("merge-base", "--is-ancestor", old, new) is not None

    def span(self, old: str, new: str, pages: str) -> tuple[list[Commit], int]:
        """The newest commits that lead from one to the other, and how many there are; merges are left out."""
        words = ("--no-merges", f"{old}..{new}")
        commits = self.commits(pages, f"--max-count={MOST_COMMITS}", *words)
        count = self.says("rev-list", "--count", *words)
        return commits, int(count) if count.isdecimal() else len(commits)

    def commits(self, pages: str, *words: str) -> list[Commit]:
        """The commits that git's log gives for these words."""
        said = self._run("log", "-z", f"--format={_FIELDS}", *words) or b""
        parts = iter(said.decode(errors="replace").split("\0"))
        return [
            Commit(id_, _plain(author), _plain(email), at, body.strip()[:LONGEST_MESSAGE], _link(pages, "commit", id_))
            for id_, author, email, at, body in zip(*[parts] * 5, strict=False)
        ]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _link(pages: str, what: str, name: str) -> str:
    return f"{pages}/{what}/{quote(name)}" if pages else ""
