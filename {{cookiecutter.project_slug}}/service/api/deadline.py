"""No request hangs on the database: one that takes long while the database does not answer is given up."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.probe import Probe
from service.errors import StoreUnavailable

# Seconds that a request may take before the database is looked at; with the look's own patience, less than two.
UNSUSPICIOUS = 1.0

AGAIN = "send the request again with the same Idempotency-Key, lest it is done twice"
UNKNOWN = f"the database does not answer; {AGAIN}"
STOPPING = f"the service stops, and had no answer in time; {AGAIN}"


class Deadline:
    """Frees the caller of a database that is frozen, which no timeout of its client notices; slow work goes on."""

    def __init__(self, app: ASGIApp, look: Probe[str]) -> None:
        self.app, self._look = app, look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request.

        Raises:
            StoreUnavailable: the database does not answer, or the service's grace is over; nothing was answered yet.
        """
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        work = asyncio.ensure_future(self.app(scope, receive, note))
        try:
            while not started and not (await asyncio.wait({work}, timeout=UNSUSPICIOUS))[0]:
                if not started and await self._look() == "unknown":
                    # The work itself cannot be stopped: it may still be committed once the database wakes up.
                    raise StoreUnavailable(UNKNOWN)
            await work
        except asyncio.CancelledError:
            if started:
                raise
            raise StoreUnavailable(STOPPING) from None
        finally:
            work.cancel()
