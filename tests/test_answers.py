"""Which answers are refused, in which words, and which odd ones are legal."""

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException, OutputDirExistsException
from cookiecutter.main import cookiecutter
from jinja2 import UndefinedError

from tests.conftest import ODD_TEXT, REPOSITORY, TEMPLATE, Render, tool

Refuse = Callable[..., str]
# The hook's, and cookiecutter's own: for an empty slug, for a slug with a slash, and for a wrong choice.
REFUSALS = (FailedHookException, OutputDirExistsException, UndefinedError, ValueError)

BAD_SLUGS = {
    "a quote": "order'desk",
    "double quotes": '"""',
    "a backslash": "order\\desk",
    "a newline": "order\ndesk",
    "a space": "order desk",
    "an underscore": "order_desk",
    "an upper-case letter": "Order",
    "another alphabet": "auftr\N{LATIN SMALL LETTER A WITH DIAERESIS}ge",
    "a leading digit": "2nd-desk",
    "a leading hyphen": "-desk",
    "a trailing hyphen": "desk-",
    "two hyphens in a row": "order--desk",
    "shell syntax": "$(id)",
    "41 characters": "o" * 41,
    "100 characters": "o" * 100,
}
TAKEN_SLUGS = {"a Python keyword": "class", "a standard library module": "http", "a dependency": "celery"}
SLASHES = ["order/desk", "../desk", "order/../desk", "/order"]
BAD_TEXTS = {
    "a newline": "two\nlines",
    "a carriage return": "two\rlines",
    "a line separator": "two\N{LINE SEPARATOR}lines",
    "a control character": "bell\a",
    "half a character": "\udcff",
    "Jinja": "{{ '{{' }} braces",
}


@pytest.fixture
def refuse(config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Render with these answers, hold that nothing is left on disk, and return what was said."""

    def refuse(**answers: str) -> str:
        folder = tmp_path / "out"
        folder.mkdir()
        with pytest.raises(REFUSALS) as refusal:
            cookiecutter(
                str(REPOSITORY), no_input=True, extra_context=answers, output_dir=str(folder), config_file=str(config)
            )
        assert [path.name for path in tmp_path.rglob("*")] == ["out"]
        said = capfd.readouterr().err
        return said if refusal.type is FailedHookException else str(refusal.value)

    return refuse


@pytest.mark.parametrize("slug", BAD_SLUGS.values(), ids=BAD_SLUGS.keys())
def test_a_slug_that_no_machine_takes_is_refused(refuse: Refuse, slug: str) -> None:
    """The sentence says the rule, the slug that was given, and one that is right."""
    rule = "at most 40 lower-case letters, digits and single hyphens, the first a letter"
    said = refuse(project_slug=slug)
    assert said == f"expected project_slug to be {rule}, got: {slug!a}; write one like order-desk\n"


@pytest.mark.parametrize("slug", TAKEN_SLUGS.values(), ids=TAKEN_SLUGS.keys())
def test_a_slug_that_belongs_to_something_else_is_refused(refuse: Refuse, slug: str) -> None:
    """The sentence proposes a name that is free."""
    expected = "expected project_slug to be a name that nothing in Python has"
    assert refuse(project_slug=slug) == f"{expected}, got: {slug}; write {slug}-service\n"


@pytest.mark.parametrize("slug", SLASHES)
def test_a_slug_with_a_slash_makes_no_folder_outside_the_project(refuse: Refuse, slug: str) -> None:
    """It is refused before cookiecutter makes a folder of it: the parents would stay."""
    assert f"got: {slug}; leave the slashes out" in refuse(project_slug=slug)


@pytest.mark.parametrize("name", ["", "!!!"], ids=["empty", "without a letter"])
def test_a_name_that_makes_no_slug_is_refused_by_cookiecutter(refuse: Refuse, name: str) -> None:
    """An empty slug names the folder that is rendered into, which exists."""
    assert "directory already exists" in refuse(project_name=name)


def test_a_name_that_makes_a_slug_too_long_is_refused(refuse: Refuse) -> None:
    """A name of 100 characters makes a slug of 100."""
    assert "at most 40" in refuse(project_name="o" * 100)


@pytest.mark.parametrize("question", ["project_name", "description", "owner"])
@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_a_text_that_is_not_one_plain_line_is_refused(refuse: Refuse, question: str, text: str) -> None:
    """The sentence names the question and the character."""
    said = refuse(project_slug="order-desk", **{question: text})
    assert said.startswith(f"expected {question} to be plain text on one line, got: ")
    assert "; leave out " in said


@pytest.mark.parametrize("question", ["project_name", "description", "owner"])
def test_an_empty_text_is_refused(refuse: Refuse, question: str) -> None:
    """Blanks are nothing, too."""
    said = refuse(project_slug="order-desk", **{question: "  "})
    assert said == f"expected {question} to be words on one line, got: nothing; write a few\n"


def test_every_wrong_answer_is_named_at_once(refuse: Refuse) -> None:
    """One run tells all that is wrong."""
    assert len(refuse(project_slug="Order", description="two\nlines", owner="").splitlines()) == 3


def test_an_odd_text_is_legal_and_arrives_unchanged(render: Render) -> None:
    """Quotes, backslashes, '#', ':' and emoji mean nothing to the files that hold them."""
    project = render(project_slug="order-desk", project_name=ODD_TEXT, description=ODD_TEXT, owner=ODD_TEXT)
    info = yaml.safe_load((project / "service" / "openapi.yaml").read_text())["info"]
    assert info["title"] == ODD_TEXT
    assert info["contact"]["name"] == ODD_TEXT
    assert info["description"].startswith(ODD_TEXT)
    assert (project / "README.md").read_text().startswith(f"# {ODD_TEXT}\n\n{ODD_TEXT}\n")


def test_an_unsupported_python_is_refused_by_cookiecutter(refuse: Refuse) -> None:
    """Its own words name the question and the choices."""
    assert "3.10 provided for choice variable python_version" in refuse(python_version="3.10")


def test_an_existing_target_is_refused_and_left_alone(config: Path, tmp_path: Path) -> None:
    """A second render into the same place changes nothing."""
    kept = tmp_path / "order-desk" / "kept"
    kept.parent.mkdir()
    kept.touch()
    with pytest.raises(OutputDirExistsException):
        cookiecutter(str(REPOSITORY), no_input=True, output_dir=str(tmp_path), config_file=str(config))
    assert list(tmp_path.rglob("*")) == [kept.parent, kept]


def test_the_command_line_fails_with_the_sentence(config: Path, tmp_path: Path) -> None:
    """A refusal is an exit code and a line on standard error, for scripts as for people."""
    options = ["--no-input", "--config-file", str(config), "--output-dir", str(tmp_path)]
    command = [tool("cookiecutter"), *options, str(REPOSITORY), "project_slug=Order"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "expected project_slug to be" in run.stderr
    assert not list(tmp_path.iterdir())


def test_no_direct_dependency_of_the_service_is_a_slug() -> None:
    """A distribution that depends on its own name cannot be installed."""
    manifest = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())
    groups = [manifest["project"]["dependencies"], *manifest["dependency-groups"].values()]
    wanted = {re.split(r"[^a-z0-9-]", entry)[0] for group in groups for entry in group if isinstance(entry, str)}
    assert wanted <= set(re.findall(r"[a-z0-9-]+", (REPOSITORY / "hooks" / "pre_gen_project.py").read_text()))
