"""Datadog's API, as far as it is needed: what of ours is there, and the calls that change it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ApiException, OpenApiException
from datadog_api_client.v1.api.dashboards_api import DashboardsApi
from datadog_api_client.v1.api.monitors_api import MonitorsApi
from urllib3.exceptions import HTTPError

from deploy.monitors.definitions import MANAGED

Definition = dict[str, Any]

TIMEOUT_SECONDS = 10.0
# After 429 and 5xx: at once, then after 4 and 8 s, or as long as Datadog says.
RETRIES = 3


class Wrong(Exception):
    """The command cannot go on; the message says what is to be done."""


class Shelf(Protocol):
    """One kind of thing that Datadog keeps; `title` names the field that tells one from another."""

    kind: str
    title: str

    def ours(self) -> list[Definition]:
        """Everything that carries our mark, as Datadog has it."""

    def validate(self, wanted: Definition, there: Definition | None) -> None:
        """Let Datadog judge a definition, and change nothing."""

    def create(self, wanted: Definition) -> None:
        """Add it."""

    def update(self, wanted: Definition, there: Definition) -> None:
        """Change it where it is, so that its history stays."""

    def delete(self, there: Definition) -> None:
        """Take it away."""


class Monitors:
    """The monitors, which carry the mark as a tag."""

    kind, title = "monitor", "name"

    def __init__(self, client: ApiClient) -> None:
        self._api = MonitorsApi(client)

    def ours(self) -> list[Definition]:
        found = self._api.list_monitors_with_pagination(monitor_tags=MANAGED, page_size=100)
        return [monitor for monitor in (each.to_dict() for each in found) if MANAGED in monitor["tags"]]

    def validate(self, wanted: Definition, there: Definition | None) -> None:
        if there:
            self._api.validate_existing_monitor(there["id"], wanted)
        else:
            self._api.validate_monitor(wanted)

    def create(self, wanted: Definition) -> None:
        self._api.create_monitor(wanted)

    def update(self, wanted: Definition, there: Definition) -> None:
        self._api.update_monitor(there["id"], wanted)

    def delete(self, there: Definition) -> None:
        self._api.delete_monitor(there["id"])


class Dashboards:
    """The dashboards, which carry the mark in their description, since they take no tags but teams."""

    kind, title = "dashboard", "title"

    def __init__(self, client: ApiClient) -> None:
        self._api = DashboardsApi(client)

    def ours(self) -> list[Definition]:
        found = self._api.list_dashboards_with_pagination(count=100)
        ids = [each.id for each in found if MANAGED in (each.to_dict().get("description") or "").split()]
        return [self._api.get_dashboard(id_).to_dict() for id_ in ids]

    def validate(self, wanted: Definition, there: Definition | None) -> None:
        """Datadog judges a dashboard only when it is written; the tests hold it against the client's models."""

    def create(self, wanted: Definition) -> None:
        self._api.create_dashboard(wanted)

    def update(self, wanted: Definition, there: Definition) -> None:
        self._api.update_dashboard(there["id"], wanted)

    def delete(self, there: Definition) -> None:
        self._api.delete_dashboard(there["id"])


@contextmanager
def shelves() -> Iterator[list[Shelf]]:
    """Datadog, as DD_SITE, DD_API_KEY and DD_APP_KEY say; DD_SITE may also be a whole address.

    Raises:
        Wrong: it is not reached, does not let us in, or refuses what it was asked.
    """
    missing = [name for name in ("DD_API_KEY", "DD_APP_KEY") if not os.environ.get(name)]
    if missing:
        raise Wrong(
            f"expected {' and '.join(missing)} to be set, got: nothing; Datadog makes them under Organization Settings"
        )
    configuration = Configuration(
        check_input_type=False, request_timeout=TIMEOUT_SECONDS, enable_retry=True, max_retries=RETRIES
    )
    site = os.environ.get("DD_SITE") or "datadoghq.com"
    configuration.host = site if "://" in site else f"https://api.{site}"
    try:
        with ApiClient(configuration) as client:
            yield [Monitors(client), Dashboards(client)]
    except ApiException as error:
        raise Wrong(_sentence(error, configuration.host)) from error
    except (HTTPError, OpenApiException) as error:
        raise Wrong(
            f"expected {configuration.host} to answer as Datadog does, got: {type(error).__name__}; "
            "what was printed before is done, run it again for the rest; is DD_SITE right?"
        ) from error


def _sentence(error: ApiException, host: str) -> str:
    if error.status in (401, 403):
        return (
            f"expected {host} to let us in, got: {error.status}; keys belong to one site (DD_SITE), and the "
            "application key needs monitors_read, monitors_write, dashboards_read and dashboards_write"
        )
    body = error.body if isinstance(error.body, dict) else {}
    said = "; ".join(str(each) for each in body.get("errors", [])) or "no reason"
    return f"expected Datadog to do as asked, got: {error.status} ({said}); what was printed before is done"
