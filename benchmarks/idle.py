"""What grows while nothing happens: Redis under an idle service; runs in its environment.

`python -m benchmarks.idle 5` idles for five minutes; what does not grow in the last four does not grow in an hour.
"""

import sys
import tempfile
import time
from pathlib import Path

import redis
from tests.support.callers import Api  # type: ignore[import-not-found]
from tests.support.stack import Stack, until  # type: ignore[import-not-found]

MINUTES = 5.0

# Seconds: between two questions whether the API is ready, as a platform asks; until the server's buffers are made; and
# between two glances at Redis.
PROBE_SECONDS = 5.0
SETTLE_SECONDS = 20.0
GLANCE_SECONDS = 0.3

# Bytes by which the server's own buffers may differ; what its keys take is counted exactly.
MEMORY, BREATH = "used_memory", 16 * 1024


def main(minutes: float = MINUTES) -> None:
    """Idle for so many minutes, and print what the last one has more of than the first.

    Raises:
        SystemExit: something grew.
    """
    with tempfile.TemporaryDirectory() as name:
        it = Stack(Path(name), HEARTBEAT_SECONDS="10")
        try:
            it.prepare()
            first, last = idle(it, start(it), minutes * 60)
        finally:
            it.end()
    print(f"  {'after minutes':<48} {minutes / 5:>10g} {minutes:>10g}", flush=True)
    for what in sorted(first.keys() | last.keys()):
        print(f"  {what:<48} {first.get(what, 0):>10,} {last.get(what, 0):>10,}", flush=True)
    grown = [what for what in last if last[what] > first.get(what, 0) + (BREATH if what == MEMORY else 0)]
    if grown:
        sys.exit(f"expected nothing in Redis to grow in {minutes:g} idle minutes, got: {', '.join(grown)}")
    print("  nothing in Redis grew while the service was idle (promised: nothing in an hour)", flush=True)


def start(it: Stack) -> Api:
    """Every role, and one job of each worker, so that each connection and structure is there that work needs."""
    for queue in ("fast", "slow"):
        it.start("worker", queue)
    it.start("beat")
    api = Api(it)
    it.ended(it.submit("trials.echo", value="x").id, it.submit("trials.sleep", seconds=0).id)
    until(lambda: (it.directory / "beat.heartbeat").exists())
    return api


def idle(it: Stack, api: Api, seconds: float) -> tuple[dict[str, int], dict[str, int]]:
    """What there is after a fifth of the time, and at its end."""
    looks = []
    with redis.Redis(port=it.broker.port) as client, api.client() as probe:
        look(client)
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        for moment in (began + seconds / 5, began + seconds):
            while (left := moment - time.monotonic()) > 0:
                probe.get("/health/ready").raise_for_status()
                time.sleep(min(PROBE_SECONDS, left))
            looks.append(look(client))
    return looks[0], looks[1]


def look(client: redis.Redis) -> dict[str, int]:
    """What there is at five moments one after the other: a lock that is held for one of them is no growth."""
    glances = []
    for _ in range(5):
        glances.append(glance(client))
        time.sleep(GLANCE_SECONDS)
    return {what: min(found[what] for found in glances) for what in set.intersection(*map(set, glances))}


def glance(client: redis.Redis) -> dict[str, int]:
    """The number of keys and clients, the bytes in use, and the length and bytes of each key."""
    length = {"list": client.llen, "set": client.scard, "zset": client.zcard, "hash": client.hlen}
    keys = list(client.scan_iter())
    found = {"keys": len(keys), "clients": client.info("clients")["connected_clients"]}
    found[MEMORY] = client.info("memory")[MEMORY]
    for key in keys:
        name = str(key, "utf-8", "replace")
        kind = str(client.type(key), "ascii")
        found[f"{name}: length"] = length.get(kind, client.strlen)(key)
        found[f"{name}: bytes"] = client.memory_usage(key) or 0
    return found


if __name__ == "__main__":
    main(*(float(word) for word in sys.argv[1:2]))
