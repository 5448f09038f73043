"""Taking over: idioms that look like a fault and are none, each beside the fault that it looks like."""

from pathlib import Path

import pytest

from tests.unit.test_takeover_tasks import rules

HEAD = """
import enum, queue, random, threading, time, uuid
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict
import requests
from celery import chord, group
from celery.result import AsyncResult
from django.db import transaction
from service.worker import FastTask
from shop.models import Order
from shop.queue import app
class Color(str, enum.Enum): ...
class Shade(Color): ...
class Row(TypedDict): ...
class Basket: ...
@app.task(base=FastTask)
def f(x: Any = None): ...
@app.task(base=FastTask)
def g(x: Any = None): ...
"""


def body(text: str) -> str:
    """A task that does this."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return f"{HEAD}@app.task(base=FastTask, bind=True)\ndef idiom(self, pk: int):\n{lines}"


def plain(text: str) -> str:
    """A function that does this, and is no task."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return f"{HEAD}def send(request, session, pk: int, order: Order, either: Order | int):\n{lines}"


def taking(annotation: str, *options: str) -> str:
    """A task with an argument of this type."""
    return f"{HEAD}@app.task({', '.join(['base=FastTask', *options])})\ndef idiom(x: {annotation}): ..."


LOOP = "while True:\n    try:\n        requests.get('https://example.com')\n        {}\n    except OSError:\n        {}"
PAGES = "while True:\n    page = requests.get('https://example.com')\n    for x in page:\n"
PAGES += "        try:\n            f(x)\n            break"
WORK = "try:\n    requests.get('https://example.com')\nexcept {}:\n    {}"

PAIRS = [
    ("endless-retry", body(LOOP.format("break", "time.sleep(1)")), body(LOOP.format("break", "self.tries += 1"))),
    ("endless-retry", body(LOOP.format("return", "continue")), body(LOOP.format("return", "raise"))),
    (
        "endless-retry",
        body(LOOP.format("break", "pass")),
        body(PAGES + "\n        except ValueError:\n            continue\n    if not page:\n        break"),
    ),
    ("swallowed-limit", body(WORK.format("Exception", "pass")), body(WORK.format("OSError", "pass"))),
    ("swallowed-limit", body(WORK.format("(OSError, Exception)", "f")), body(WORK.format("Exception", "raise"))),
    (
        "swallowed-limit",
        body(WORK.format("Exception", "if pk:\n        raise")),
        body(WORK.format("Exception", "if pk:\n        raise\n    else:\n        raise OSError")),
    ),
    ("broad-retry", body(WORK.format("Exception", "self.retry()")), body(WORK.format("OSError", "self.retry()"))),
    ("waiting-in-task", body("f.delay(pk).get()"), body("queue.Queue().get()\n{'a': 1}.get('a')")),
    ("waiting-in-task", body("group(f.s(pk))().join()"), body("threading.Thread().join()\n', '.join('ab')")),
    ("waiting-in-task", body("done = chord([f.s(pk)])(g.s())\ndone.get()"), body("done = dict(x=1)\ndone.get('x')")),
    ("waiting", plain("AsyncResult(pk).get()"), plain("AsyncResult(pk).state")),
    ("object-argument", plain("f.delay(uuid.uuid4())"), plain("f.delay(str(uuid.uuid4()))\nf.delay(uuid.uuid4().hex)")),
    ("object-argument", plain("f.delay(datetime.now())"), plain("f.delay(datetime.now().isoformat())")),
    ("object-argument", plain("f.delay(Order.objects.first())"), plain("f.delay(Order.objects.count())")),
    ("object-argument", plain("f.delay(order)"), plain("f.delay(order.pk)\nf.delay(either)")),
    ("object-argument", plain("f.delay(request.user)"), plain("f.delay(request.user.pk)")),
    ("object-argument", plain("for o in Order.objects.all():\n    f.s(o)"), plain("for o in range(3):\n    f.s(o)")),
    ("object-argument", plain("f.apply_async((order,))"), plain("f.apply_async((order.pk,), {'x': 1}, countdown=5)")),
    ("object-argument", plain("app.send_task('jobs.f', [order])"), plain("app.send_task('jobs.f', [order.pk])")),
    ("object-argument", taking("Basket"), taking("Color")),
    ("object-argument", taking("list[Basket] | None"), taking("Annotated[list[Row] | None, Basket]")),
    ("object-argument", taking("Annotated[Basket, 'x']"), taking("Annotated[int, Basket]")),
    ("object-argument", taking("'Order'"), taking("Literal['Order', 'Basket']")),
    ("object-argument", taking("Basket"), taking("Basket", "pydantic=True")),
    ("object-argument", taking("bytes"), taking("dict[str, Shade]")),
    ("before-commit", plain("with transaction.atomic():\n    f.delay(pk)"), plain("with open('x'):\n    f.delay(pk)")),
    (
        "before-commit",
        plain("session.add(order)\nf.delay(pk)\nsession.commit()"),
        plain("session.add(order)\nif pk:\n    f.delay(pk)\n    return\nsession.commit()"),
    ),
    (
        "before-commit",
        plain("with session.begin():\n    f.delay(pk)"),
        plain("with session.begin():\n    transaction.on_commit(lambda: f.delay(pk))"),
    ),
    ("visibility", plain("f.apply_async(countdown=3 * 3600)"), plain("f.apply_async(countdown=random.randint(1, 9))")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "good"), PAIRS, ids=[f"{n}-{pair[0]}" for n, pair in enumerate(PAIRS)])
def test_the_fault_is_found_and_what_looks_like_it_is_not(tmp_path: Path, rule: str, bad: str, good: str) -> None:
    assert rules(tmp_path, jobs=bad) == {rule}
    assert rules(tmp_path, jobs=good) == set()
