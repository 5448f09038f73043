"""Ports for the servers of the tests: each is given once, and never to two processes of one run."""

import random

from local import broker
from tests.support.lanes import LANE, LANES

# Below the ports that a system gives away by itself, or a server that is away for a while finds its port taken by a
# connection of somebody else.
LOWEST, HIGHEST = 10_000, 32_000

_shuffled = random.SystemRandom().sample(range(LOWEST + LANE % LANES, HIGHEST, LANES), (HIGHEST - LOWEST) // LANES)
_unused = iter(_shuffled)


def free_port() -> int:
    """Give a port on which nobody listens, and which this run gives to nobody else."""
    return next(port for port in _unused if broker.free_port(port) == port)
