"""How often one client may ask: counted in Redis by all processes together, and never a reason to fail."""

import asyncio
import contextlib
import functools
import math
import time
from collections import Counter
from typing import Any

import structlog
from limits import RateLimitItem, parse
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.types import ASGIApp, Receive, Scope, Send

from service import NAME
from service.api.contract import marked
from service.config import Settings, settings
from service.errors import TooManyRequests

log = structlog.get_logger()

# Seconds: for an answer of Redis, of which the first to miss it wait this long, and between two tries while it is down.
PATIENCE = 0.2
RETRY_SECONDS = 1.0


class Rate:
    """The requests of each client within a moving window of time."""

    def __init__(self, limit: RateLimitItem, redis: str = "") -> None:
        """Count in the Redis at the URL `redis`, or in this process alone."""
        self.limit = limit
        # Redis is asked once: `_count` says how long it may take, and what follows where it does not answer.
        options: dict[str, Any] = {"implementation": "redispy", "retry": Retry(NoBackoff(), 0)}
        storage: Any = storage_from_string(f"async+{redis or 'memory://'}", key_prefix=f"{NAME}:limits", **options)
        self._window = MovingWindowRateLimiter(storage)
        # The tries of a Redis that is down; while there are such, nobody waits for it.
        self._tries: asyncio.Task[None] | None = None

    async def wait(self, client: str) -> int:
        """Count one request of the client; gives 0, or after how many seconds there is room for another.

        While Redis is down everyone is let through.
        """
        if self._tries is None:
            try:
                return await self._count(client)
            except Exception as error:
                # Of many that found it at the same time, one says so.
                if self._tries is None:
                    log.warning("limits not kept, everyone is let through", error=type(error).__name__)
                    self._tries = asyncio.create_task(self._try())
        return 0

    async def _count(self, client: str) -> int:
        async with asyncio.timeout(PATIENCE):
            if await self._window.hit(self.limit, client):
                return 0
            window = await self._window.get_window_stats(self.limit, client)
            # Meanwhile one of those that filled it may have run out.
            if window.remaining and await self._window.hit(self.limit, client):
                return 0
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        # Nobody waits longer than the window, nor with room in it, unless somebody wrote the counts who is not the API.
        return seconds if seconds <= self.limit.get_expiry() + 1 and not window.remaining else 0

    async def _try(self) -> None:
        while self._tries:
            await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(Exception):
                await self._count("")
                self._tries = None
        log.info("limits kept again")


class FewAtATime:
    """Answers so many of a client's requests for large answers at once: those of slow readers fill the memory."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._answering = Counter[tuple[str | None, str | None]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request.

        Raises:
            TooManyRequests: so many of the client's are still being read.
        """
        about = scope["extensions"]
        operation = about["connexion_routing"].get("operation_id")
        most = marked("x-at-once").get(operation, math.inf)
        mine = (about.get("connexion_context", {}).get("user"), operation)
        if self._answering[mine] >= most:
            raise TooManyRequests(f"expected at most {most} of these answers at once, got: more; read one first")
        self._answering[mine] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._answering[mine] -= 1


@functools.cache
def rate() -> Rate | None:
    """What RATE_LIMIT asks for, counted by this process; None when it is off."""
    return Rate(parse(settings().rate_limit), settings().redis) if settings().rate_limit else None


async def demand_room(client: str) -> None:
    """Count one request of the client, before its body is read.

    Raises:
        TooManyRequests: the client has used up its rate.
    """
    counted = rate()
    if counted is not None and (seconds := await counted.wait(client)):
        most, within = counted.limit.amount, counted.limit.get_expiry()
        said = f"expected at most {most} requests in {within} s, got: more; ask again in {seconds} s"
        raise TooManyRequests(said, retry_after=seconds)


def describe(settings: Settings) -> str:
    """What is in force, for the operator."""
    where = "counted in Redis" if settings.redis else "counted by each process for itself; set REDIS_URL"
    return f"{settings.rate_limit} for each client, {where}" if settings.rate_limit else "off"
