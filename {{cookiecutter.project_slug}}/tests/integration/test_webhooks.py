"""Webhooks on real workers: what is sent, what is tried again, and who waits for whom."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from service import view
from service.database import standalone
from service.errors import WrongState
from service.jobs import Job, State, operate, query, submit
from service.jobs.model import ENDED
from service.queues import WEBHOOK_SECONDS, WEBHOOK_WAITS
from service.webhooks import orders
from service.webhooks.secrets import mint
from tests.integration.test_commands import command
from tests.support.receiver import Receiver
from tests.support.stack import Stack, until

pytestmark = pytest.mark.slow

OLD, NEW = mint("shop"), mint("shop")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def workers(stack: Stack) -> Stack:
    """Both workers, which know two secrets of the client's."""
    stack.environment |= {"WEBHOOK_SECRETS": f"{OLD[1]},{NEW[1]}", "OUTBOUND_ALLOW": "127.0.0.0/8"}
    stack.start("worker", "fast", ready=False)
    stack.start("worker", "slow")
    until(lambda: stack.roles[0].said("worker ready"))
    return stack


def order(url: str, task: str = "trials.echo", **options: Any) -> Job:
    """Submit a job of the client's that is to be told of."""
    arguments = options.pop("arguments", {"value": "x"} if task == "trials.echo" else {})
    return submit(task, arguments, client="shop", callback_url=url, **options)


def told(stack: Stack, job_id: str, event: str) -> list[str]:
    """What the job's history says of its deliveries."""
    return [line.message or "" for line in query.events(job_id, None) if line.event == event]


def of_host(row: Job, address: str) -> bool:
    """Whether the job waits for its turn at this address."""
    return (row.waiting_for or "").startswith(f"host {address}:")


def hurry(task: str = orders.TASK) -> None:
    """Let what waits for its time run now."""
    with standalone() as session:
        waits = update(Job).where(Job.task == task, Job.waiting_for == "time", Job.state == State.RETRYING)
        session.execute(waits.values(run_at=datetime.now(UTC), rung_at=None))


def test_each_way_to_end_is_told_once_signed_with_every_secret(workers: Stack, receiver: Receiver) -> None:
    later, soon = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) + timedelta(seconds=1)
    running = order(receiver.url, "trials.patient", arguments={"seconds": 60.0})
    waiting, expired = order(receiver.url, run_at=later), order(receiver.url, run_at=later, expires_at=soon)
    others = [order(receiver.url, task) for task in ("trials.echo", "trials.broken", "trials.deadly")]
    operate.cancel(waiting.id, by="test", client=None)
    until(lambda: workers.job(running.id).state is State.RUNNING)
    operate.cancel(running.id, by="test", client=None)
    jobs = {row.id for row in (running, waiting, expired, *others)}
    until(lambda: {json.loads(sent.body)["id"] for sent in receiver.sent} == jobs, seconds=40)
    assert len(receiver.sent) == len(set(receiver.ids)) == len(jobs)
    for sent in receiver.sent:
        body = json.loads(sent.body)
        assert body == json.loads(json.dumps(view.job(workers.job(body["id"]))))
        assert body["state"] in ENDED
        for secret, _ in (OLD, NEW):
            Webhook(secret).verify(sent.body, dict(sent.headers))
    for job_id in jobs:
        said = until(partial(told, workers, job_id, "delivered"))
        assert said[0].startswith("204 from 127.0.0.1, msg_")
    assert {row.client for row in workers.jobs(orders.TASK)} == {"shop's webhooks"}
    assert receiver.together == 1
    assert not any(secret in role.log.read_text() for role in workers.roles for secret, _ in (OLD, NEW))


def test_a_receiver_that_was_down_is_told_when_it_is_up_under_the_same_id(workers: Stack, receiver: Receiver) -> None:
    receiver.answer = lambda _: (503, {})
    row = order(receiver.url)
    assert until(partial(told, workers, row.id, "delivery failed")) == ["503 from 127.0.0.1"]
    receiver.answer = lambda _: (200, {})
    until(partial(told, workers, row.id, "delivered"), seconds=30)
    assert len(receiver.sent) >= 2
    assert len(set(receiver.ids)) == 1
    Webhook(NEW[0]).verify(receiver.sent[-1].body, dict(receiver.sent[-1].headers))


def test_gone_ends_it_and_a_redirect_is_not_followed(workers: Stack, receiver: Receiver) -> None:
    receiver.answer = lambda _: (410, {})
    gone = order(receiver.url)
    until(partial(told, workers, gone.id, "delivery given up"))
    (delivery,) = workers.jobs(orders.TASK)
    (ended,) = workers.ended(delivery.id)
    assert (ended.state, ended.attempt, ended.error_type) == (State.FAILED, 1, "UpstreamRefused")
    with Receiver() as elsewhere:
        receiver.answer = lambda _: (307, {"Location": elsewhere.url})
        moved = order(receiver.url)
        assert until(partial(told, workers, moved.id, "delivery failed")) == ["307 from 127.0.0.1"]
        assert elsewhere.sent == []


def test_retry_after_is_honoured_by_this_message_and_by_the_host(workers: Stack, receiver: Receiver) -> None:
    receiver.answer = lambda _: (429, {"Retry-After": "600"})
    first = order(receiver.url)
    until(partial(told, workers, first.id, "delivery failed"))
    second = order(receiver.url)
    (waiting,) = until(lambda: [row for row in workers.jobs(orders.TASK) if of_host(row, "127.0.0.1")])
    (delayed,) = [row for row in workers.jobs(orders.TASK) if row.id != waiting.id]
    for row, failures in ((delayed, 1), (waiting, 0)):
        assert timedelta(seconds=550) < workers.job(row.id).run_at - datetime.now(UTC) < timedelta(seconds=700)
        assert workers.job(row.id).failures == failures
    assert len(receiver.sent) == 1
    assert told(workers, second.id, "delivery failed") == []


def test_the_last_try_is_the_end_of_it_and_an_operator_can_have_it_redelivered(
    workers: Stack, receiver: Receiver
) -> None:
    receiver.answer = lambda _: (404, {})
    row = order(receiver.url, "trials.broken")
    with pytest.raises(WrongState, match="callback_url"):
        orders.redeliver(submit("trials.echo", {"value": "x"}).id, by="test", client=None)
    tries = len(WEBHOOK_WAITS) + 1
    for number in range(1, tries + 1):
        until(lambda: len(receiver.sent) >= number, seconds=30)  # noqa: B023
        until(lambda: {job.state for job in workers.jobs(orders.TASK)} <= {State.RETRYING, State.FAILED})
        hurry()
    (letter,) = workers.jobs(orders.TASK)
    (letter,) = workers.ended(letter.id)
    assert (letter.state, letter.attempt) == (State.FAILED, tries)
    assert told(workers, row.id, "delivery given up") == ["404 from 127.0.0.1"]
    receiver.answer = lambda _: (204, {})
    assert command(workers, "jobs", "redeliver", row.id).returncode == 0
    until(partial(told, workers, row.id, "delivered"))
    assert len(set(receiver.ids)) == 1
    (line,) = [line for line in query.events(row.id, None) if line.event == "redelivered by hand"]
    assert line.by == "operator"


def test_a_job_that_is_retried_by_hand_is_told_of_again_as_another_message(workers: Stack, receiver: Receiver) -> None:
    receiver.answer = lambda _: (404, {})
    row = order(receiver.url, "trials.broken")
    until(partial(told, workers, row.id, "delivery failed"))
    later = order(receiver.url, run_at=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(WrongState, match="expected a job to redeliver to be one of"):
        orders.redeliver(later.id, by="test", client=None)
    operate.retry(row.id, by="test", client=None)
    until(lambda: len(set(receiver.ids)) == 2)
    receiver.answer = lambda _: (204, {})
    until(lambda: len(told(workers, row.id, "delivered")) == 2, seconds=30)
    # What is sent again is the same, although the job is another by then.
    attempts = {(sent.headers["webhook-id"], json.loads(sent.body)["attempt"]) for sent in receiver.sent}
    assert sorted(attempt for _, attempt in attempts) == [1, 2]
    # Nobody has to be told that an operator looked at it.
    operate.discard(row.id, by="test", client=None)
    assert len(workers.jobs(orders.TASK)) == 2


def test_a_hanging_host_starves_nobody(workers: Stack) -> None:
    hung = threading.Event()
    with Receiver("127.0.0.2", lambda _: (hung.wait(60), (204, {}))[1]) as hanging, Receiver() as well:
        slow = [order(hanging.url) for _ in range(200)]
        until(lambda: hanging.sent)
        quick = [order(well.url) for _ in range(20)]
        workers.ended(*(row.id for row in quick), seconds=60)
        until(lambda: len(well.sent) == 20, seconds=60)
        workers.ended(*(row.id for row in slow), seconds=120)
        # Three tries, and then the host is spared: 200 messages have cost the workers three times three seconds.
        until(lambda: len(hanging.sent) == 3, seconds=60)
        until(lambda: len([row for row in workers.jobs(orders.TASK) if of_host(row, "127.0.0.2")]) >= 190)
        (fast,) = workers.ended(workers.submit("trials.echo", value="beside").id)
        assert fast.state is State.SUCCEEDED
        # A try takes its three seconds, less what it took to arrive; two at once would have arrived together.
        assert all(after.at - before.at > WEBHOOK_SECONDS / 2 for before, after in pairwise(hanging.sent))
        assert well.together == 1
        until(lambda: sum(row.failures for row in workers.jobs(orders.TASK)) == 3)
        hung.set()


def test_what_waits_for_a_host_goes_on_as_soon_as_it_is_free(workers: Stack, receiver: Receiver) -> None:
    rows = [order(receiver.url) for _ in range(120)]
    workers.ended(*(row.id for row in rows), seconds=60)
    # One after the other, and not one a second, as they would if nobody woke them.
    until(lambda: len(receiver.sent) == 120, seconds=80)
    assert (receiver.together, len(set(receiver.ids))) == (1, 120)


def test_a_delivery_that_waits_for_its_host_can_be_cancelled_and_is_given_up_after_a_day(
    workers: Stack, receiver: Receiver
) -> None:
    receiver.answer = lambda _: (503, {"Retry-After": "3600"})
    first = order(receiver.url)
    until(partial(told, workers, first.id, "delivery failed"))
    order(receiver.url)
    (waiting,) = until(lambda: [row for row in workers.jobs(orders.TASK) if of_host(row, "127.0.0.1")])
    assert operate.cancel(waiting.id, by="test", client=None).state is State.CANCELLED
    last = order(receiver.url)
    (waiting,) = until(lambda: [row for row in workers.jobs(orders.TASK) if of_host(row, "127.0.0.1")])
    with standalone() as session:
        values = {"created_at": datetime.now(UTC) - timedelta(days=1, minutes=1), "run_at": datetime.now(UTC)}
        session.execute(update(Job).where(Job.id == waiting.id).values(rung_at=None, **values))
    (ended,) = workers.ended(waiting.id)
    assert (ended.state, ended.failures) == (State.FAILED, 1)
    assert "since a day ago" in told(workers, last.id, "delivery given up")[0]


def test_a_secret_may_be_added_and_taken_away_while_the_service_runs(stack: Stack, receiver: Receiver) -> None:
    secrets = stack.directory / "secrets"
    secrets.write_text(f"other/{mint('other')[0]}\n")
    stack.start("worker", "fast", WEBHOOK_SECRETS_FILE=str(secrets))
    row = order(receiver.url)
    (reason,) = until(partial(told, stack, row.id, "delivery failed"))
    assert "expected client shop to have a webhook secret" in reason
    secrets.write_text(f"{OLD[1]}\n{NEW[1]}\n")
    hurry()
    until(lambda: len(receiver.sent) == 1, seconds=30)
    # One of which a letter is missing is left out, and takes no other with it.
    secrets.write_text(f"{OLD[1][:-3]}\n{NEW[1]}")
    order(receiver.url)
    until(lambda: len(receiver.sent) == 2)
    both, new = receiver.sent
    assert len(both.headers["webhook-signature"].split()) == 2
    Webhook(OLD[0]).verify(both.body, dict(both.headers))
    Webhook(NEW[0]).verify(new.body, dict(new.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD[0]).verify(new.body, dict(new.headers))
    assert stack.roles[0].said("webhook secret left out")
