"""Turns of large bodies: they are read beside the event loop, one at a time, and each client has one of them."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import TooManyRequests

# Bytes of a body that is read at once, within two milliseconds; and of a client's larger ones that may be in the
# thread, or wait for it.
SMALL = 4 * 1024
MAX_QUEUED = 512 * 1024
LARGE = ThreadPoolExecutor(1, "large-bodies")
TURNS = defaultdict[str, asyncio.Lock](asyncio.Lock)
QUEUED = Counter[str]()


async def take(request: Request, raw: bytes, read: Callable[[bytes], Any]) -> Any:
    """What `read` makes of the bytes of this request's body, once it is their turn.

    Raises:
        TooManyRequests: so many bytes of the client's wait already.
        HTTPException: the caller went away meanwhile.
    """
    if len(raw) < SMALL:
        return read(raw)
    client = request.scope["extensions"]["connexion_context"]["user"]
    if QUEUED[client] + len(raw) > MAX_QUEUED:
        raise TooManyRequests(f"expected at most {MAX_QUEUED} bytes of large bodies at once, got: more; ask again")
    QUEUED[client] += len(raw)
    try:
        # A large one can take a second, and nobody else should wait for it.
        async with TURNS[client]:
            if await request.is_disconnected():
                raise HTTPException(400, "expected the caller to wait for the answer, got: a closed connection")
            return await asyncio.get_running_loop().run_in_executor(LARGE, read, raw)
    finally:
        QUEUED[client] -= len(raw)
