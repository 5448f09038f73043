"""Notifications: messages to third parties."""

from typing import Any

from service.api.accept import accept
from service.api.answer import Answer
from service.outbound.guard import check_url


def create(body: dict[str, Any], user: str) -> Answer:
    """Accept a notification.

    Raises:
        AddressRefused: the URL's address is not public.
    """
    check_url(body["url"])
    arguments = {"url": body["url"], "message": body["message"]}
    later = {name: body.get(name) for name in ("run_at", "callback_url")}
    return accept("notifications.send", arguments, client=user, **later)
