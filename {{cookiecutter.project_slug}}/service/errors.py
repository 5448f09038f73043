"""The errors of the service.

ServiceError                 something the caller can be told; carries an HTTP status
├── JobNotFound              404
├── ResultNotFound           404
├── UnknownQueue             404
├── Forbidden                403
├── WrongState               409
├── IdempotencyConflict      422
├── InvalidRequest           400
│   ├── InvalidArguments     422
│   ├── UnknownTask          422
│   ├── AddressRefused       422
│   └── NoWebhookSecret      422
├── TooManyRequests          429
│   └── TooManyWaiting       429
└── StoreUnavailable         503
PolicyError                  a task or queue defined against the policy
UpstreamError                a third party failed in a way that may pass; worth another attempt
UpstreamRefused              a third party said no; another attempt would change nothing
StartRefused                 a process cannot start; the message has the remedy
Postpone                     the job has to wait for something else first; counted in no budget
JobCancelled                 the job was cancelled while it ran
AttemptLost                  the job went on to another attempt; this one can change nothing any more
"""

from typing import ClassVar


class ServiceError(Exception):
    """The request could not be done."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls, *, status: int | None = None, title: str | None = None) -> None:
        cls.status, cls.title = status or cls.status, title or cls.title

    def __init__(self, detail: str | None = None, *, field: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or self.title)
        self.field = field
        super().__init__(self.detail)


class JobNotFound(ServiceError, status=404, title="Job not found"):
    """No job of yours has this id; `GET /v1/jobs` lists those that exist."""


class ResultNotFound(ServiceError, status=404, title="Result not found"):
    """The job has made nothing that could be fetched; what it makes is there once it has succeeded."""


class UnknownQueue(ServiceError, status=404, title="Unknown queue"):
    """There is no such queue; `GET /v1/queues` lists those that exist."""


class Forbidden(ServiceError, status=403, title="Forbidden"):
    """The token lacks the scope that this needs; ask the operator for a token that has it."""


class WrongState(ServiceError, status=409, title="Wrong state"):
    """The job's state does not allow this."""


class IdempotencyConflict(ServiceError, status=422, title="Idempotency key reused"):
    """The Idempotency-Key was used before with another request; use a new key for a new request."""


class InvalidRequest(ServiceError, status=400, title="Invalid request"):
    """The request is not valid."""


class InvalidArguments(InvalidRequest, status=422, title="Invalid arguments"):
    """The arguments do not fit the task."""


class UnknownTask(InvalidRequest, status=422, title="Unknown task"):
    """No worker has announced this task."""


class AddressRefused(InvalidRequest, status=422, title="Address refused"):
    """The address is not public; an operator can allow it in OUTBOUND_ALLOW."""


class NoWebhookSecret(InvalidRequest, status=422, title="No webhook secret"):
    """The client has no webhook secret, so nothing could be signed; an operator makes one: `webhooks secret`."""


class TooManyRequests(ServiceError, status=429, title="Too many requests"):
    """The client asked too often; ask again after `Retry-After`, or the operator for a higher RATE_LIMIT."""

    def __init__(self, detail: str | None = None, *, field: str | None = None, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(detail, field=field)


class TooManyWaiting(TooManyRequests, title="Too many jobs waiting"):
    """Too many jobs of the client would wait; submit fewer, or more once some have begun (MAX_WAITING_JOBS)."""


class StoreUnavailable(ServiceError, status=503, title="Store unavailable"):
    """The database cannot be reached; send the request again, with the same Idempotency-Key."""


class PolicyError(Exception):
    """A task or queue is defined against the policy in `queues.py`."""


class UpstreamError(Exception):
    """A third party failed in a way that may pass.

    `retry_after` is how many seconds it asked to be left alone, where it said so (RFC 9110, Retry-After).
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class UpstreamRefused(Exception):
    """A third party refused; another attempt would be refused again."""


class StartRefused(Exception):
    """The process cannot start; the message says why, and the command that mends it."""


class Postpone(Exception):
    """The job waits, through no fault of its own, for `waiting_for`: `seconds` at most, or until somebody wakes it."""

    def __init__(self, waiting_for: str, seconds: float) -> None:
        self.waiting_for = waiting_for
        self.seconds = seconds
        super().__init__(f"waits for {waiting_for}")


class JobCancelled(Exception):
    """The job was cancelled while it ran."""


class AttemptLost(Exception):
    """The job belongs to another attempt by now; whatever this one still does is refused by the store."""
