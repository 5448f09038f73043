"""Which change of a task's signature strands what callers of the version before send."""

from typing import Any

import pytest

from deploy.inside import _narrower, _wider
from service.jobs import catalogue
from service.jobs.model import Task

OLD: dict[str, Any] = {"properties": {"title": {"type": "string"}}, "required": ["title"]}
OPTIONAL: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (OLD, []),
        ({**OLD, "properties": OLD["properties"] | {"rows": {"type": "integer", "default": 1}}}, []),
        ({**OLD, "properties": {"title": OPTIONAL}, "required": []}, []),
        ({**OLD, "properties": {"title": {"type": "integer"}}}, ["reports.export takes another kind of title"]),
        ({"properties": {}, "required": []}, ["reports.export takes no title any more"]),
        (
            {"properties": OLD["properties"] | {"rows": {"type": "integer"}}, "required": ["title", "rows"]},
            ["reports.export demands rows, which had not to be given until now"],
        ),
    ],
    ids=["the same", "one more with a default", "wider", "another kind", "one less", "one more"],
)
def test_a_signature(monkeypatch: pytest.MonkeyPatch, new: dict[str, Any], said: list[str]) -> None:
    monkeypatch.setattr(catalogue, "entries", lambda: [Task(name="reports.export", schema=OLD)])
    assert list(_narrower({"reports.export": Task(name="reports.export", schema=new)})) == said


def test_an_argument_that_may_be_anything_takes_all() -> None:
    assert _wider({"type": "string"}, {})
    assert not _wider({}, {"type": "string"})
    assert not _wider(OPTIONAL, {"type": "string"})
