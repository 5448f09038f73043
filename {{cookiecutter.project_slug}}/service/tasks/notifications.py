"""Notifications: a message posted to a third party, which may be slow, down, or rude."""

from service.errors import UpstreamError
from service.outbound import client
from service.worker import FastTask, app


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def send(self: FastTask, url: str, message: str) -> dict[str, int]:
    """Post the message; the third party sees the job's id as its idempotency key, since a crash may post it twice."""
    answer = client.post_json(url, {"message": message}, idempotency_key=self.job.id, max_answer=0)
    return {"status": answer.status_code}
