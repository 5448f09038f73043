"""Accepting work: what every POST that makes a job has in common."""

import re
from collections.abc import Mapping
from typing import Any

import connexion

from service import view
from service.api.answer import Answer, answer
from service.api.formats import moment
from service.config import settings
from service.jobs import submit
from service.outbound.guard import check_url
from service.webhooks import secrets

Said = str | None


def accept(
    task: str, arguments: Mapping[str, Any], *, client: str, run_at: Said = None, callback_url: Said = None, **more: Any
) -> Answer:
    """Make the job and say where to ask for it; the request's Idempotency-Key makes it once.

    The handler decides what `more` there is of what `submit` takes: `unique_key`, `lock_key`, `expires_at`.

    Raises:
        AddressRefused: the callback's address is not public.
        NoWebhookSecret: the client has none that the callback could be signed with.
        TooManyWaiting: MAX_WAITING_JOBS of the client's wait already.
    """
    if callback_url is not None:
        secrets.of(client)
        check_url(callback_url, "callback_url")
    more |= {"idempotency_key": _key(connexion.request.headers.get("Idempotency-Key")), "callback_url": callback_url}
    more |= {"run_at": moment(run_at) if run_at else None, "may_wait": settings().max_waiting_jobs}
    row = submit(task, arguments, client=client, **more)
    return answer(view.job(row), 202, {"Location": f"/v1/jobs/{row.id}"})


def _key(header: str | None) -> str | None:
    """The key: a string in quotes, as the draft of the IETF wants it (RFC 9651, 3.3.3), or what most clients send."""
    if header is None or not header.startswith('"'):
        return header
    return re.sub(r"\\(.)", r"\1", header[1:-1])
