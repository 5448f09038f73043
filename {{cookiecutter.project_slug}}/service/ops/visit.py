"""One request of somebody who signed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api.tokens import Entry
from service.errors import InvalidRequest
from service.ops import shown


@dataclass(frozen=True)
class Visit:
    """Who asks, for what, and what a page for them is made of."""

    request: Request
    entry: Entry
    # What every form carries; and how the broker does.
    key: str
    broker: str = "up"
    form: dict[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, str]:
        """What the query says; empty fields of a form say nothing.

        Raises:
            InvalidRequest: a field holds a null.
        """
        demand_plain(self.request.query_params)
        return {name: value.strip() for name, value in self.request.query_params.items() if value.strip()}

    def show(self, template: str, **values: Any) -> Response:
        """A page."""
        return shown.page(template, visit=self, **values)


Act = Callable[[Visit], Response]


def demand_plain(fields: Mapping[str, str]) -> None:
    """Refuse what no store takes.

    Raises:
        InvalidRequest: naming the field.
    """
    for name, value in fields.items():
        if "\0" in value:
            raise InvalidRequest(f"expected {name[:40]} to hold no null, got: one", field=name[:40])
