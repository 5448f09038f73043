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
    return accept("notifications.send", arguments, client=user, run_at=body.get("run_at"))
