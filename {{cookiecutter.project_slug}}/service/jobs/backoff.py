"""How long to wait before the next attempt."""

import random

from service.queues import Queue


def wait(queue: Queue, failures: int) -> float:
    """Seconds before the attempt after this many failures: exponential, capped, half of it fixed and half jitter.

    Full jitter can come to no wait at all, and none at all is what an upstream in trouble can bear least.
    """
    # Beyond 2**30 every cap has long been reached, and a float would overflow at last.
    full = min(queue.backoff_cap, queue.backoff * 2.0 ** min(failures - 1, 30))
    return full / 2 + random.uniform(0, full / 2)  # noqa: S311 - it spreads load, it keeps no secret
