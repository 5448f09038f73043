"""The platform waits as long as the policy says: the queue's grace and 10 seconds more."""

import re
from pathlib import Path

import pytest

from service.queues import QUEUES

ROOT = Path(__file__).parents[2]

# How each platform's file says it, but for ECS, which derives it; a service has the one it deploys to, and compose for
# development.
PATTERNS = {
    "compose.yaml": r"worker-{queue}:.*?stop_grace_period: (\d+)s",
    "deploy/compose/compose.yaml": r"worker-{queue}:.*?stop_grace_period: (\d+)s",
    "deploy/kubernetes/base/worker-{queue}.yaml": r"terminationGracePeriodSeconds: (\d+)",
}


@pytest.mark.parametrize("queue", QUEUES)
def test_the_platforms_grace_is_the_queues_and_ten_seconds(queue: str) -> None:
    found = {}
    for file, pattern in PATTERNS.items():
        path = ROOT / file.format(queue=queue)
        if path.exists():
            match = re.search(pattern.replace("{queue}", queue), path.read_text(), re.DOTALL)
            found[file] = match and int(match.group(1))
    assert found
    assert set(found.values()) == {QUEUES[queue].grace + 10}, found
