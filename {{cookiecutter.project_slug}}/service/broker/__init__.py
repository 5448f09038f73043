"""Whether the broker can be relied on, and what to do where it cannot."""

from collections.abc import Iterator

import redis

from service import NAME
from service.config import settings
from service.jobs.doorbell import Bell

# Seconds for one answer.
TIMEOUT = 2

# What Celery keeps besides the queues, and as what: over another type no worker starts, or connects again.
KINDS = {"unacked": "hash", "unacked_index": "zset", "unacked_mutex": "string"}
BINDINGS = ("_kombu.binding", "_kombu.binding_permanent")

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
        yield f"expected a broker at BROKER_URL, got: {said}; start it, correct BROKER_URL, or delete the key it names"
        return
    finally:
        bell.close()
    named = {settings().broker_url.get_secret_value(): "BROKER_URL"}
    named.setdefault(settings().redis, "REDIS_URL")
    for url, name in named.items():
        if url.startswith("redis"):
            yield from _redis(url, name)


def _redis(url: str, name: str) -> Iterator[str]:
    wanted = KINDS | {f"{which}.{NAME}.{queue}": "set" for which in BINDINGS for queue in settings().queues}
    with redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT) as client:
        try:
            kinds = {key: client.type(key).decode() for key in wanted}
            memory = client.info("memory")
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        except redis.ResponseError:
            return  # a hosted Redis keeps its configuration to itself
        except redis.RedisError as error:
            yield f"expected a Redis at {name}, got: {type(error).__name__}: {error}; start it, or correct {name}"
            return
    for key in (key for key, kind in kinds.items() if kind not in {wanted[key], "none"}):
        yield f"{name}: expected {key} to be a {wanted[key]}, got: {kinds[key]}, over which no worker starts; delete it"
    if policy != "noeviction":
        yield f"{name}: expected maxmemory-policy noeviction, got: {policy}, which drops messages; set it"
    if memory["maxmemory"] and memory["used_memory"] > FULL * memory["maxmemory"]:
        share = memory["used_memory"] / memory["maxmemory"]
        yield f"{name}: expected under {FULL:.0%} of maxmemory in use, got: {share:.0%}; raise it before it is full"
