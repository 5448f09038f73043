"""The two doors by which jobs come and are cancelled: the API, and `service.jobs` itself."""

from collections import Counter
from typing import Protocol

import httpx
from sqlalchemy.exc import SQLAlchemyError

from local.example import Example
from service.errors import WrongState
from service.jobs import operate, submit
from tests.soak import shapes
from tests.soak.orders import Order

CLIENT = "soak"

# Seconds for one answer of the API, which may be frozen.
ANSWER_SECONDS = 5.0


class Away(Exception):
    """The store or the API cannot answer now; ask again."""


class Refused(Exception):
    """It answered, and not as it should."""


class Door(Protocol):
    """Raises Away while it cannot answer, and Refused when it will not do what it should."""

    def submit(self, order: Order) -> str:
        """Give the id of the accepted job."""

    def cancel(self, job_id: str) -> None:
        """Cancel the job, unless it has ended."""


class Direct:
    """The service's own functions, in this process."""

    def submit(self, order: Order) -> str:
        task = f"chores.{'quick' if order.kind == 'scheduled' else order.kind}"
        try:
            if order.kind in shapes.found():
                return shapes.found()[order.kind].submit(order)
            return submit(task, order.kwargs, client=CLIENT, idempotency_key=order.key, run_at=order.run_at).id
        except SQLAlchemyError as error:
            raise Away from error

    def cancel(self, job_id: str) -> None:
        try:
            operate.cancel(job_id, by=CLIENT, client=CLIENT)
        except WrongState:
            return
        except SQLAlchemyError as error:
            raise Away from error


class Api:
    """The API role, which is killed, frozen and started again meanwhile; `answers` counts what it said."""

    def __init__(self, url: str, token: str, example: Example | None) -> None:
        self.answers: Counter[int] = Counter()
        self._example = example
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=ANSWER_SECONDS)

    def submit(self, order: Order) -> str:
        if self._example is None:
            raise Refused("expected openapi.yaml to have an order with an example, got: none")
        later = {"run_at": order.run_at.isoformat()} if order.run_at else {}
        answer = self._post(self._example.path, dict(order.kwargs) | later, {"Idempotency-Key": order.key})
        if answer.status_code != httpx.codes.ACCEPTED:
            raise Refused(f"{answer.status_code} {answer.text[:200]}")
        return str(answer.json()["id"])

    def cancel(self, job_id: str) -> None:
        answer = self._post(f"/v1/jobs/{job_id}/cancel", None, {})
        if answer.status_code not in {httpx.codes.OK, httpx.codes.ACCEPTED, httpx.codes.CONFLICT}:
            raise Refused(f"{answer.status_code} {answer.text[:200]}")

    def _post(self, path: str, body: object, headers: dict[str, str]) -> httpx.Response:
        try:
            answer = self._client.post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise Away from error
        self.answers[answer.status_code] += 1
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Away
        return answer
