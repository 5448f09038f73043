"""Whether the broker can be relied on, and what to do where it cannot."""

from collections.abc import Iterator

import redis

from service.config import settings
from service.jobs.doorbell import Bell

# Seconds for one answer.
TIMEOUT = 2

# Beyond this share of its memory a Redis is about to refuse messages.
FULL = 0.8


def faults() -> Iterator[str]:
    """What is wrong, a sentence each with its remedy."""
    bell = Bell()
    try:
        for name in settings().queues:
            bell.depth(name)
    except Exception as error:
        # What a malformed URL is told of would show a part of its password.
        said = type(error).__name__ + ("" if isinstance(error, ValueError) else f": {error}")
        yield f"expected a broker at BROKER_URL, got: {said}; start it, or correct BROKER_URL"
        return
    finally:
        bell.close()
    if settings().redis:
        yield from _redis(settings().redis)


def _redis(url: str) -> Iterator[str]:
    with redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT) as client:
        try:
            memory = client.info("memory")
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        except redis.ResponseError:
            return  # a hosted Redis keeps its configuration to itself
        except redis.RedisError as error:
            yield f"expected a Redis at REDIS_URL, got: {type(error).__name__}: {error}; start it, or correct REDIS_URL"
            return
    if policy != "noeviction":
        yield f"Redis: expected maxmemory-policy noeviction, got: {policy}, which drops messages; set it"
    if memory["maxmemory"] and memory["used_memory"] > FULL * memory["maxmemory"]:
        share = memory["used_memory"] / memory["maxmemory"]
        yield f"Redis: expected under {FULL:.0%} of maxmemory in use, got: {share:.0%}; raise it before it is full"
