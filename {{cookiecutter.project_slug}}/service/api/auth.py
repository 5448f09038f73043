"""Who calls, and what they may do."""

import functools
import inspect
from typing import TYPE_CHECKING, Any

from service.api import limits
from service.api.contract import marked
from service.api.keyring import Keyring
from service.api.tokens import MINT, MalformedEntries
from service.config import settings
from service.errors import Forbidden, InvalidRequest
from service.observe.context import bind

if TYPE_CHECKING:
    from connexion.lifecycle import ConnexionRequest

ADMIN = "jobs:admin"


@functools.cache
def keyring() -> Keyring:
    """The tokens that this process knows.

    Raises:
        MalformedEntries: or their file cannot be read, or there is none where others would call.
    """
    made = Keyring(settings().api_tokens.get_secret_value(), settings().api_tokens_file)
    if not made.entries() and settings().deployed:
        raise MalformedEntries(f"API_TOKENS: expected at least one entry, got: nothing; make one: {MINT}")
    return made


async def bearer(token: str, request: "ConnexionRequest") -> dict[str, Any] | None:
    """Connexion's question about a token: whose it is, None if it is nobody's.

    Handlers get `user`, who calls, and `client`, whose jobs they may see: None means everyone's.

    Raises:
        InvalidRequest: there are two, and one cannot know which is meant (RFC 6750, 3.1).
        TooManyRequests: the client asks too often; what it may not do counts, too.
        Forbidden: the token lacks the scope of this operation.
    """
    if len(request.headers.getlist("Authorization")) > 1:
        raise InvalidRequest("expected Authorization once, got it again", field="Authorization")
    entry = keyring().find(token)
    if entry is None:
        return None
    bind(client=entry.client, token_name=entry.name or None)
    await limits.demand_room(entry.client)
    needed = marked("x-scope")[request.scope["extensions"]["connexion_routing"]["operation_id"]]
    if not entry.scopes & {needed, ADMIN}:
        raise Forbidden(f"expected a token with the scope {needed}, got: {', '.join(sorted(entry.scopes))}")
    request.context["client"] = None if ADMIN in entry.scopes else entry.client
    return {"sub": entry.client, "scopes": sorted(entry.scopes)}


# Connexion asks for it with each request, and each time Python would work it out.
bearer.__signature__ = inspect.signature(bearer)  # type: ignore[attr-defined]
