"""What a worker acknowledged is forgotten at the broker with few trips, and what it had in hand does not pile up."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Producer
from kombu.asynchronous import hub
from kombu.transport.redis import Channel
from redis import ResponseError

from service.broker import trips
from service.config import settings
from service.database import new_id
from service.jobs import State, doorbell
from service.jobs.doorbell import Bell, broker_queue
from tests.support.stack import Role, Stack, until

pytestmark = pytest.mark.skipif(os.environ.get("TEST_BROKER_URL", "").startswith("amqp"), reason="the keys are Redis's")

# What kombu keeps of messages that somebody has in hand: those of workers that were killed stay an hour.
UNACKED = ("unacked", "unacked_index")

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files a process has open")


def open_files(role: Role) -> int:
    """How many files and sockets its parent process has open."""
    return len(list(Path(f"/proc/{role.pid}/fd").iterdir()))


def test_workers_that_are_killed_leave_no_more_behind_with_each(quiet: Stack) -> None:
    left = []
    with Connection(settings().broker_url.get_secret_value()) as connection:
        for _ in range(2):
            quiet.start("worker", "fast").kill()
            left.append(set(connection.default_channel.client.keys()))
    assert left[0] == left[1]


def test_what_was_acknowledged_is_forgotten_within_moments_and_at_the_end_at_once(quiet: Stack) -> None:
    worker = quiet.start("worker", "fast")
    with Connection(settings().broker_url.get_secret_value()) as connection:
        client = connection.default_channel.client
        client.delete(*UNACKED)
        for last in (False, True):
            before = client.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"]
            quiet.ended(*(quiet.submit("trials.echo", value=f"{number}").id for number in range(30)))
            # One transaction for each message, and not another for its acknowledgement.
            assert client.info("commandstats")["cmdstat_exec"]["calls"] - before < 50
            if last:
                assert worker.stop() == 0
                assert (client.hlen("unacked"), client.zcard("unacked_index")) == (0, 0)
            until(lambda: not client.hlen("unacked") and not client.zcard("unacked_index"))


def test_an_acknowledgement_goes_with_the_next_note_and_a_calls_own_goes_at_once(
    quiet: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Channel, "QoS", trips.Trips)
    monkeypatch.setattr(hub, "_current_loop", hub.Hub())
    bell, name = Bell(), broker_queue("fast").name
    with Connection(quiet.environment["BROKER_URL"]) as others, Connection(quiet.environment["BROKER_URL"]) as own:
        client, channel = others.default_channel.client, own.channel()
        client.delete(*UNACKED)

        def take() -> Any:
            bell.publish(new_id(), "trials.echo", "fast")
            return channel.basic_get(name)

        take().ack()
        assert client.hlen("unacked") == 1
        second = take()
        assert client.hlen("unacked") == 1
        Producer(others.default_channel).publish([[], {}, {}], routing_key=name, headers={"task": "a.call"})
        call = channel.basic_get(name)
        assert client.hlen("unacked") == 2
        call.ack()
        assert client.hlen("unacked") == 1
        second.ack()
        # A trip that fails has told nothing.
        bell.publish(new_id(), "trials.echo", "fast")
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(ResponseError):
                channel.basic_get(name)
        finally:
            client.config_set("maxmemory", 0)
        assert client.hlen("unacked") == 1
        last = take()
        assert client.hlen("unacked") == 1
        last.ack()
        channel.close()
        assert (client.hlen("unacked"), client.zcard("unacked_index"), client.llen(name)) == (0, 0, 0)


@LINUX
def test_workers_that_find_a_redis_full_leave_no_socket_open_with_each_try(quiet: Stack) -> None:
    with Connection(settings().broker_url.get_secret_value()) as connection:
        client = connection.default_channel.client
        worker = quiet.start("worker", "fast")
        before = open_files(worker)
        worker.signal(signal.SIGSTOP)
        jobs = [quiet.submit("trials.echo", value=f"{number}").id for number in range(20)]
        assert doorbell.flush(10)
        client.config_set("maxmemory", 1)
        worker.signal(signal.SIGCONT)
        try:
            until(lambda: worker.log.read_text().count("OutOfMemoryError") > 20, seconds=60)
            assert open_files(worker) < before + 10
        finally:
            client.config_set("maxmemory", 0)
        assert {job.state for job in quiet.ended(*jobs)} == {State.SUCCEEDED}


@LINUX
def test_connections_that_are_cut_leave_no_socket_behind_where_messages_are_in_hand(quiet: Stack) -> None:
    worker = quiet.start("worker", "slow", QUEUE_SLOW_CONCURRENCY="1", QUEUE_SLOW_PREFETCH="4")
    job = quiet.submit("trials.sleep", seconds=8).id
    until(lambda: quiet.job(job).state is State.RUNNING)
    with Connection(settings().broker_url.get_secret_value()) as connection:
        client, before = connection.default_channel.client, open_files(worker)

        def cut() -> None:
            made = worker.log.read_text().count('"Connected to')
            assert client.client_kill_filter(skipme=True, _type="normal")
            until(lambda: worker.log.read_text().count('"Connected to') > made, seconds=10)
            until(lambda: client.hlen("unacked"), seconds=10)

        for _ in range(6):
            cut()
        assert open_files(worker) < before + 4
    assert quiet.ended(job)[0].attempt == 1
