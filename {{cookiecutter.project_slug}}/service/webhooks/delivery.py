"""One try to deliver a message."""

from datetime import datetime

from standardwebhooks import Webhook

from service.database import standalone, transaction
from service.errors import JobNotFound, UpstreamError, UpstreamRefused
from service.jobs import Job, query
from service.jobs.history import record
from service.outbound import client, hosts
from service.queues import WEBHOOK_SECONDS
from service.webhooks import secrets
from service.webhooks.model import Message


def find(message_id: str) -> tuple[Message, Job]:
    """The message, and the job that it tells of.

    Raises:
        JobNotFound: newer messages of the job took its place, or the job was purged.
    """
    with standalone() as session:
        message = session.get(Message, message_id)
    if message is None:
        raise JobNotFound
    return message, query.get(message.job_id, None)


def attempt(message: Message, row: Job, holder: str, present: datetime) -> str:
    """Post the message; gives what was answered, and by which host. `present` is the time by the store's clock.

    Raises:
        Postpone: it is not this delivery's turn.
        NoWebhookSecret: there is nothing to sign it with.
        UpstreamError: the host failed, or did not take it; worth another attempt.
        UpstreamRefused: the receiver wants no more, or its address is not public.
    """
    url = row.callback_url or ""
    content = message.body.encode()
    headers = {"Content-Type": "application/json", **signed(message, secrets.of(row.client), present)}
    with hosts.turn(url, holder, WEBHOOK_SECONDS, alone=True) as host:
        # What the receiver says beside its status is of no use, so nobody waits for it.
        answer = client.call("POST", url, content=content, headers=headers, seconds=WEBHOOK_SECONDS, max_answer=0)
        said = f"{answer.status_code} from {host}"
        # Any other refusal is about this message: the host itself is well.
        if answer.status_code >= 500 or answer.status_code == 429:
            raise UpstreamError(said, retry_after=client.retry_after(answer))
    if answer.status_code == 410:
        raise UpstreamRefused(f"{said}, which wants no more of it")
    if not answer.is_success:
        raise UpstreamError(said)
    return said


def signed(message: Message, keys: list[str], present: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each key, so that a receiver may hold the old or the new."""
    id_, at = name(message), str(int(present.timestamp()))
    signatures = " ".join(Webhook(key).sign(id_, present, message.body) for key in keys)
    return {"webhook-id": id_, "webhook-timestamp": at, "webhook-signature": signatures}


def name(message: Message) -> str:
    """What the receiver knows the message by, however often it comes."""
    return f"msg_{message.id}"


def tell(row: Job, event: str, said: str, by: str | None) -> None:
    """Write into the job's history what came of a try."""
    with transaction() as session:
        # What a receiver did may be as long as it likes.
        record(session, row, event, said[:500], by=by)
