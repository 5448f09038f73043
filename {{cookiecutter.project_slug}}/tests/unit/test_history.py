"""What git knows of a release, asked of real repositories: forward, back, again, and where no way leads."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import history
from deploy.history import LONGEST_MESSAGE, MOST_COMMITS, between

ANN = {"GIT_AUTHOR_NAME": "Ann Önder", "GIT_AUTHOR_EMAIL": "ann@example.com"}
BEN = {"GIT_COMMITTER_NAME": "Ben", "GIT_COMMITTER_EMAIL": "ben@example.com"}


class Repository:
    """A repository to make commits in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, said: bytes = b"") -> str:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1", **ANN, **BEN}
        command = ["git", "-C", str(self.path), *words]
        run = subprocess.run(command, env=environ, input=said, capture_output=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout.decode(errors="replace").strip()

    def commit(self, message: str | bytes, *words: str) -> str:
        said = message if isinstance(message, bytes) else message.encode()
        self.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", "--file=-", *words, said=said)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the one who runs the tests, and no repository above the folders of the tests."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "desk")


@pytest.fixture
def change(repository: Repository) -> Callable[[str, str], history.Change]:
    """What is between two versions of the repository, outside of any pipeline."""
    return lambda before, after: between(before, after, repository.path, {})


def test_forward_lists_what_comes_newest_first_with_its_authors(repository: Repository) -> None:
    first, second = repository.commit("One"), repository.commit("Two\n\nwith a body")
    third = repository.commit("Three", "--author=Cat <cat@example.com>")
    change = between(first, third[:8], repository.path, {"CI_PROJECT_URL": "https://code.example/team/desk"})
    assert (change.kind, change.total, change.warning) == ("forward", 2, "")
    assert [each.summary for each in change.commits] == ["Three", "Two"]
    assert [each.author for each in change.commits] == ["Cat", "Ann Önder"]
    newest, other = change.commits
    assert (newest.id, newest.email, other.message) == (third, "cat@example.com", "Two\n\nwith a body")
    assert other.url == f"https://code.example/team/desk/-/commit/{second}"


def test_rollback_lists_what_is_undone(repository: Repository, change: Callable[..., history.Change]) -> None:
    first, _, third = (repository.commit(name) for name in ("One", "Two", "Three"))
    back = change(third, first)
    assert (back.kind, back.total) == ("rollback", 2)
    assert [each.summary for each in back.commits] == ["Three", "Two"]


def test_a_merge_brings_its_branch_and_nothing_of_its_own(
    repository: Repository, change: Callable[..., history.Change]
) -> None:
    first = repository.commit("One")
    repository.git("checkout", "--quiet", "-b", "topic")
    repository.commit("On a branch")
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merge branch 'topic'", "topic")
    merged = change(first, "main")
    assert (merged.kind, merged.total, [each.summary for each in merged.commits]) == ("forward", 1, ["On a branch"])


def test_the_same_version_is_a_redeploy_however_it_is_named(
    repository: Repository, change: Callable[..., history.Change]
) -> None:
    only = repository.commit("One")
    assert change(only, only[:10]).kind == change("v1", "v1").kind == "redeploy"


def test_what_is_on_another_branch_is_disconnected_and_its_newest_commit_told(
    repository: Repository, change: Callable[..., history.Change]
) -> None:
    repository.commit("One")
    repository.git("checkout", "--quiet", "-b", "side")
    side = repository.commit("Aside")
    repository.git("checkout", "--quiet", "main")
    main = repository.commit("Two")
    apart = change(side, main)
    assert (apart.kind, [each.summary for each in apart.commits]) == ("disconnected", ["Two"])
    assert apart.warning == f"no way leads from {side} to {main} or back"


@pytest.mark.parametrize(
    ("before", "warning"),
    [
        ("", "nothing was deployed here before"),
        ("0" * 40, f"git does not know {'0' * 40}, which was there before"),
        ("--since=monday", "git does not know --since=monday, which was there before"),
    ],
)
def test_without_a_known_version_before_the_newest_commit_is_told(
    repository: Repository, change: Callable[..., history.Change], before: str, warning: str
) -> None:
    only = repository.commit("One")
    first = change(before, only)
    assert (first.kind, first.warning) == ("disconnected", warning)
    assert [each.summary for each in first.commits] == ["One"]


@pytest.mark.parametrize("after", ["0" * 40, "v9", "--all", "", "a\0b", "\n"])
def test_a_version_that_git_does_not_know_is_a_warning(
    repository: Repository, change: Callable[..., history.Change], after: str
) -> None:
    unknown = change(repository.commit("One"), after)
    assert (unknown.kind, unknown.total, list(unknown.commits)) == ("disconnected", 0, [])
    assert unknown.warning.startswith("git does not know ")


def test_no_repository_and_no_git_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not a git repository" in between("a", "b", tmp_path, {}).warning
    monkeypatch.setenv("PATH", "")
    assert "git could not be asked (FileNotFoundError)" in between("a", "b", tmp_path, {}).warning
    assert history.branch(tmp_path, {}) == history.default_branch(tmp_path, {}) == history.web_page(tmp_path, {}) == ""
    assert history.who(tmp_path, {}) == "somebody"


def test_a_shallow_clone_guesses_nothing(repository: Repository, tmp_path: Path) -> None:
    first, second = repository.commit("One"), repository.commit("Two")
    third = repository.commit("Three")
    repository.git("clone", "--quiet", "--depth=2", repository.path.as_uri(), str(tmp_path / "shallow"))
    for before in (first, second):
        change = between(before, third, tmp_path / "shallow", {})
        assert (change.kind, [each.summary for each in change.commits]) == ("disconnected", ["Three"])
        assert change.warning == "this is a shallow clone; let the pipeline fetch the whole history"


def test_a_long_list_is_cut_and_counted(repository: Repository, change: Callable[..., history.Change]) -> None:
    first = repository.commit("One")
    script = b"".join(
        b"commit refs/heads/main\nmark :%d\ncommitter Ben <ben@example.com> 17%08d +0000\ndata 2\nNo\nfrom %s\n"
        % (number, number, b":%d" % (number - 1) if number > 1 else first.encode())
        for number in range(1, MOST_COMMITS + 51)
    )
    repository.git("fast-import", "--quiet", said=script)
    long = change(first, "main")
    assert (len(long.commits), long.total) == (MOST_COMMITS, MOST_COMMITS + 50)


def test_messages_of_a_megabyte_and_in_other_encodings_are_read(
    repository: Repository, change: Callable[..., history.Change]
) -> None:
    first = repository.commit("One")
    repository.commit("x" * 1_000_000)
    repository.git("config", "i18n.commitEncoding", "ISO-8859-1")
    repository.commit("Größe".encode("latin-1"))
    repository.commit("")
    # What git itself would not let pass any more, and old tools wrote.
    tree, parent = repository.git("rev-parse", "HEAD^{tree}", "HEAD").encode().split()
    person = b"\xe9va <eva@example.com> 1700000000 +0000\n"
    body = (
        b"tree "
        + tree
        + b"\nparent "
        + parent
        + b"\nauthor "
        + person
        + b"committer "
        + person
        + b"\ncaf\xe9 <&>\n\n\xff\xfe\n"
    )
    repository.git("update-ref", "HEAD", repository.git("hash-object", "-t", "commit", "-w", "--stdin", said=body))
    broken, empty, declared, huge = change(first, "main").commits
    assert (empty.summary, declared.summary) == ("", "Größe")
    assert (broken.summary, broken.author) == ("caf� <&>", "�va")
    assert len(huge.message) == LONGEST_MESSAGE


def test_the_pipeline_says_who_from_which_branch_and_on_which_page(repository: Repository, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "trunk"}}))
    gitlab = {
        "GITLAB_USER_NAME": "Ann",
        "CI_COMMIT_REF_NAME": "topic",
        "CI_DEFAULT_BRANCH": "trunk",
        "CI_PIPELINE_URL": "https://code.example/team/desk/-/pipelines/7",
        "CI_PROJECT_URL": "https://code.example/team/desk",
    }
    github = {
        "GITHUB_ACTOR": "Ann",
        "GITHUB_REF_NAME": "topic",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SERVER_URL": "https://code.example",
        "GITHUB_REPOSITORY": "team/desk",
        "GITHUB_RUN_ID": "7",
    }
    for environ, page in ((gitlab, "/-/pipelines/7"), (github, "/actions/runs/7")):
        release = history.release("staging", "v2", "v2", environ)
        assert (release.who, release.branch, release.default_branch) == ("Ann", "topic", "trunk")
        assert release.page == f"https://code.example/team/desk{page}"
        assert release.change.repository == "https://code.example/team/desk"


def test_without_a_pipeline_git_says_so(repository: Repository) -> None:
    repository.git("config", "user.name", "Ann")
    repository.git("remote", "add", "origin", "https://code.example/team/desk")
    repository.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    repository.git("checkout", "--quiet", "-b", "feature/a#1")
    where: tuple[Path, dict[str, str]] = (repository.path, {})
    assert history.who(*where) == "Ann"
    assert (history.branch(*where), history.default_branch(*where)) == ("feature/a#1", "trunk")
    change = between("v1", "v1", *where)
    assert change.link("tree", "feature/a#1") == "https://code.example/team/desk/tree/feature/a%231"
    repository.commit("One")
    repository.git("checkout", "--quiet", "--detach")
    assert history.branch(*where) == ""


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://ci-token:s3cret@code.example:8443/team/desk.git", "https://code.example:8443/team/desk"),
        ("https://s3cret@code.example/team/desk/", "https://code.example/team/desk"),
        ("git@code.example:team/desk.git", "https://code.example/team/desk"),
        ("ssh://git@code.example:2222/team/desk.git", "https://code.example/team/desk"),
        ("code.example:team/desk", "https://code.example/team/desk"),
        ("/srv/git/desk.git", ""),
        ("../desk", ""),
        ("http://user:s3cret@code.example/desk", ""),
    ],
)
def test_a_remotes_page_holds_nothing_that_lets_one_in(repository: Repository, remote: str, page: str) -> None:
    repository.git("remote", "add", "origin", remote)
    assert history.web_page(repository.path, {}) == page
