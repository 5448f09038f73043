"""A task that tells a span what nobody should know."""

from sqlalchemy import text

from service import database
from service.worker import FastTask, app


@app.task(base=FastTask, bind=True)
def tells(self: FastTask, secret: str) -> None:
    """Put a secret wherever a span takes one, and fail over it in the database and outside of it."""
    from ddtrace.trace import tracer

    span = tracer.current_span()
    assert span is not None
    span.set_tag("order", secret)
    span.set_tag(f"{secret}", "1")
    span.set_metric(secret, 1)
    span.record_exception(ValueError(secret))
    with tracer.trace("inner", resource=secret):
        pass
    with database.standalone() as session:
        session.execute(text("SELECT :secret"), {"secret": secret})
        try:
            session.execute(text("SELECT * FROM nowhere WHERE x = :secret"), {"secret": secret})
        except Exception as error:
            raise ValueError(secret) from error
