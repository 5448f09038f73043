"""Who is signed in: a token with `jobs:admin`, exchanged for a cookie that any API process can check.

The cookie names an entry of API_TOKENS and is signed with a key made of that entry and of DATABASE_URL: all processes
of a deployment have both, and whoever has DATABASE_URL can change every job anyway.
The entries alone forge no cookie as long as DATABASE_URL holds a secret (a password); one that is taken away or
expires ends its sessions at once.
"""

import hashlib
import hmac

from itsdangerous import BadSignature, Signer, TimestampSigner
from starlette.responses import Response

from service.api.auth import ADMIN, keyring
from service.api.tokens import Entry
from service.config import settings

COOKIE = "ops"

# Seconds for which one is signed in, and characters of an entry's hash that name it.
SECONDS = 8 * 3600
NAMED = 16


def exchange(token: str) -> Entry | None:
    """The entry of a token that opens this page."""
    entry = keyring().find(token)
    return entry if entry is not None and ADMIN in entry.scopes else None


def begin(response: Response, entry: Entry) -> None:
    """Sign the caller in."""
    cookie = _clock(entry).sign(entry.digest[:NAMED]).decode()
    response.set_cookie(COOKIE, cookie, SECONDS, path="/ops", secure=True, httponly=True, samesite="strict")


def end(response: Response) -> None:
    """Sign the caller out."""
    response.delete_cookie(COOKIE, path="/ops", secure=True, httponly=True, samesite="strict")


def find(cookie: str) -> Entry | None:
    """Whose cookie this is; None when it is forged, too old, or its token opens no door any more."""
    name = cookie.partition(".")[0]
    for _, entry in keyring().entries():
        if entry.digest[:NAMED] == name and ADMIN in entry.scopes and entry.standing != "expired":
            try:
                _clock(entry).unsign(cookie, max_age=SECONDS)
            except BadSignature:
                return None
            return entry
    return None


def form_key(cookie: str, entry: Entry) -> str:
    """What a form of this session carries, and nobody else's page can know."""
    return Signer(_key(entry), "form", digest_method=hashlib.sha256).get_signature(cookie).decode()


def is_form_key(given: str, cookie: str, entry: Entry) -> bool:
    """Whether it is that."""
    return hmac.compare_digest(given.encode(), form_key(cookie, entry).encode())


def _clock(entry: Entry) -> TimestampSigner:
    return TimestampSigner(_key(entry), "session", digest_method=hashlib.sha256)


def _key(entry: Entry) -> bytes:
    return hmac.digest(settings().database_url.get_secret_value().encode(), str(entry).encode(), "sha256")
