"""The whole stack in containers with the other broker."""

from collections.abc import Iterator

import pytest

from tests.conftest import Render
from tests.test_containers import Stack, compose, up

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """That of a service with RabbitMQ."""
    with up(render(broker="rabbitmq"), tmp_path_factory.mktemp("rabbitmq")) as running:
        yield running


def test_a_job_is_done_by_way_of_quorum_queues(stack: Stack) -> None:
    """What the broker itself says of the queues, of which there are no others."""
    job = stack.end("/v1/reports", {"title": "Q3", "rows": 1000})
    assert job["state"] == "succeeded", job
    asked = ("exec", "-T", "-u", "rabbitmq", "broker", "sh", "-c")
    said = compose(stack.project, *asked, "HOME=/var/lib/rabbitmq rabbitmqctl --quiet list_queues name type durable")
    queues = {tuple(line.split("\t")) for line in said.splitlines() if line.startswith("order-desk")}
    assert queues == {("order-desk.fast.ready", "quorum", "true"), ("order-desk.slow.ready", "quorum", "true")}
