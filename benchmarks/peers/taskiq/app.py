"""The service on Taskiq."""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers import work

URL = os.environ["REDIS_URL"]
broker = RedisStreamBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))


class Order(BaseModel):
    """What the rendered service's example takes."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=200)
    rows: int = Field(ge=1, le=1_000_000)


@broker.task
async def export(title: str, rows: int) -> None:
    """Stand for the example's report."""


@broker.task
async def nothing() -> None:
    """Do nothing."""


@broker.task
async def sleep(seconds: float, marks: str) -> None:
    """Wait."""
    await asyncio.to_thread(work.sleep, seconds, marks)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Connect, and let go at the end."""
    await broker.startup()
    yield
    await broker.shutdown()


web = FastAPI(lifespan=lifespan)


@web.post("/v1/reports", status_code=202)
async def create(order: Order, authorization: str = Header("")) -> dict[str, str]:
    """Order a report."""
    digest = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    if not hmac.compare_digest(digest, os.environ["TOKEN_SHA256"]):
        raise HTTPException(401)
    return {"id": (await export.kiq(order.title, order.rows)).task_id, "state": "queued"}


def fill(count: int) -> None:
    """So many jobs that do nothing."""

    async def send() -> None:
        await broker.startup()
        for _ in range(count):
            await nothing.kiq()
        await broker.shutdown()

    asyncio.run(send())


def order(seconds: float, marks: str) -> None:
    """One job that waits."""

    async def send() -> None:
        await broker.startup()
        await sleep.kiq(seconds, marks)
        await broker.shutdown()

    asyncio.run(send())
