"""Redis as it is run in production: TLS with certificates checked, a password, and a primary that dies."""

import ssl
import time

import pytest
import redis
import trustme

from local.broker import Broker
from service.jobs import State
from tests.integration.test_commands import command
from tests.support.front import Front
from tests.support.stack import Stack, free_port, until
from tests.support.table import Recovered


@pytest.mark.fault("L3", "rediss:// works; a fail-over loses what was not replicated")
def test_jobs_survive_a_primary_that_dies_and_a_replica_that_takes_its_name(stack: Stack, recovered: Recovered) -> None:
    replica = Broker(stack.directory / "replica", free_port())
    with replica, Front(stack.broker.port) as front:
        with redis.Redis(port=replica.port) as client:
            client.replicaof("127.0.0.1", str(stack.broker.port))
        worker = stack.start("worker", "fast", BROKER_URL=f"redis://127.0.0.1:{front.port}/0")
        jobs = [stack.submit("trials.echo", value=str(number)) for number in range(50)]
        until(lambda: any(stack.attempts(row.id) for row in jobs))
        stack.broker.stop()
        with redis.Redis(port=replica.port) as client:
            client.replicaof("NO", "ONE")
        front.switch(replica.port)
        died = time.monotonic()
        done = stack.ended(*(row.id for row in jobs), seconds=60)
        recovered(time.monotonic() - died)
        assert {(row.state, row.attempt) for row in done} == {(State.SUCCEEDED, 1)}
        assert worker.process.poll() is None


@pytest.mark.fault("U5", "anyone runs code")
def test_a_broker_behind_tls_and_a_password_is_used_and_an_impostor_refused(stack: Stack) -> None:
    authority, impostor = trustme.CA(), trustme.CA()
    trusted = stack.directory / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with redis.Redis(port=stack.broker.port) as client:
        client.config_set("requirepass", "of-this-test")
    with Front(stack.broker.port, _tls(authority)) as genuine, Front(stack.broker.port, _tls(impostor)) as forged:

        def address(front: Front) -> str:
            return f"rediss://:of-this-test@localhost:{front.port}/0?ssl_ca_certs={trusted}"

        refused = command(stack, "check", BROKER_URL=address(forged))
        assert refused.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
        assert "of-this-test" not in refused.stderr + refused.stdout
        assert command(stack, "check", BROKER_URL=address(genuine)).returncode == 0
        worker = stack.start("worker", "fast", BROKER_URL=address(genuine))
        row = stack.submit("trials.echo", value="over TLS")
        (done,) = stack.ended(row.id, seconds=45)
        assert done.state is State.SUCCEEDED
        assert worker.process.poll() is None


def _tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.fault("L3", "an evicting Redis drops messages; Celery's own documentation offers one")
def test_check_refuses_a_redis_that_evicts(stack: Stack) -> None:
    with redis.Redis(port=stack.broker.port) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    found = command(stack, "check")
    assert found.returncode == 1
    assert "expected maxmemory-policy noeviction, got: allkeys-lru" in found.stderr
    worker = stack.start("worker", "fast")
    assert worker.said("expected maxmemory-policy noeviction")


@pytest.mark.fault("L19", "nobody hears of it before the consumer exits")
def test_check_says_that_a_redis_is_nearly_full(stack: Stack) -> None:
    with redis.Redis(port=stack.broker.port) as client:
        client.config_set("maxmemory", str(int(client.info("memory")["used_memory"] * 1.1)))
    found = command(stack, "check")
    assert found.returncode == 1
    assert "expected under 80% of maxmemory in use" in found.stderr
