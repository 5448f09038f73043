"""Ways in which a URL that a client gives leads into the network of the service, and that here lead nowhere."""

from collections.abc import Mapping

import httpx
import pytest

from service.api.tokens import mint
from service.errors import UpstreamRefused
from service.jobs import submit
from service.outbound.client import call
from service.webhooks import secrets
from tests.contract.conftest import serving
from tests.integration.test_webhooks import told
from tests.support.door import PATH
from tests.support.receiver import Receiver
from tests.support.stack import Stack, forget_settings, until
from tests.support.wire import fine, names, server

# What an outsider can do is allowed on 127.0.0.2, which stands for the internet here.
OUTSIDE = "127.0.0.2"
REBOUND = "hooks.example.com"

__all__ = ["names"]


def forms(port: int) -> Mapping[str, str]:
    """Ways to write an address of this machine."""
    hosts = {
        "literal": "127.0.0.1",
        "decimal": "2130706433",
        "name": "localhost",
        "IPv6": "[::1]",
        "IPv4 in IPv6": "[::ffff:127.0.0.1]",
        "metadata": "169.254.169.254",
    }
    return {form: f"http://{host}:{port}/hook" for form, host in hosts.items()}


@pytest.mark.fault("U9", "SSRF: whoever can name a URL can call what only the service can reach")
def test_no_url_leads_into_the_private_network(stack: Stack) -> None:
    token, entry = mint("shop", ("jobs:read", "jobs:write"), name="test")
    environment = {"OUTBOUND_ALLOW": OUTSIDE, "WEBHOOK_SECRETS": secrets.mint("shop")[1], "PORT": "0"}
    stack.environment |= environment
    worker = stack.start("worker", "fast")
    with Receiver() as inside, serving(stack, API_TOKENS=entry, DOOR="open") as (address, _):
        caller = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"})
        port = httpx.URL(inside.url).port or 0
        # At the front door.
        for url in forms(port).values():
            order = {"task": "trials.echo", "arguments": {"value": "x"}, "callback_url": url}
            refused = caller.post(PATH, json=order)
            assert (refused.status_code, refused.json()["field"]) == (422, "callback_url"), refused.text
        # At the socket: what came past the door, as a name does that stands for something else by then.
        orders = [submit("trials.posts", {"url": url}) for url in forms(port).values()]
        assert {row.error_type for row in stack.ended(*(row.id for row in orders))} == {"UpstreamRefused"}
        for url in forms(port).values():
            row = submit("trials.echo", {"value": "x"}, client="shop", callback_url=url)
            until(lambda: told(stack, row.id, "delivery given up"))  # noqa: B023
        # By a redirect from where a first request may go.
        with Receiver(OUTSIDE, lambda _: (308, {"Location": inside.url})) as outside:
            sent = submit("trials.posts", {"url": outside.url})
            row = submit("trials.echo", {"value": "x"}, client="shop", callback_url=outside.url)
            assert str(stack.ended(sent.id)[0].error_message).startswith(f"308 from {OUTSIDE}")
            assert until(lambda: told(stack, row.id, "delivery failed")) == [f"308 from {OUTSIDE}"]
            assert len(outside.sent) == 2
        assert inside.sent == []
        assert worker.process.poll() is None


@pytest.mark.fault("U9", "a name is checked once and resolved again to connect")
def test_a_name_that_changes_its_mind_after_the_check_changes_nothing(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1")
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("OUTBOUND_ALLOW", OUTSIDE)
    forget_settings()
    names[REBOUND] = [OUTSIDE, "127.0.0.1"]
    with server(fine) as (port, outside), server(fine, "127.0.0.1", port) as (_, inside):
        assert call("GET", f"http://{REBOUND}:{port}/").text == "ok"
        assert (len(outside), len(inside)) == (1, 0)
        assert f"host: {REBOUND}:{port}".encode() in outside[0].lower()
        # By the next call it stands for what may not be called, and is refused before anything is sent.
        with pytest.raises(UpstreamRefused, match="expected the address to be public, got: hooks"):
            call("GET", f"http://{REBOUND}:{port}/")
        assert (len(outside), len(inside)) == (1, 0)

    forget_settings()
