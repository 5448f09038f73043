"""The clients that speak to AWS, and what it says when it does not do as asked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# Seconds to be connected and to be answered. What looks whether a deploy could begin asks once, since four such
# questions have to fit into REACH_SECONDS; a deploy that is under way asks again, with pauses.
QUICK = Config(connect_timeout=1.5, read_timeout=2, retries={"total_max_attempts": 1})
PATIENT = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 6})

# Characters of AWS's own words that are passed on.
WORDS = 600


@cache
def _session() -> boto3.Session:
    """Where credentials come from: the usual places of AWS, or the file that DEPLOY_KEY_FILE names."""
    session = botocore.session.Session()
    session.set_default_client_config(PATIENT)
    if key := os.environ.get("DEPLOY_KEY_FILE"):
        session.set_config_variable("credentials_file", key)
    return boto3.Session(botocore_session=session)


def client(service: str, region: str, config: Config = PATIENT) -> Any:
    """One service of AWS in one region.

    Raises:
        botocore.exceptions.BotoCoreError: the region, or a profile, is none.
    """
    return _session().client(service, region_name=region, config=config)


def words(error: BotoCoreError | ClientError) -> str:
    """What AWS, or the way to it, said."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        return brief(f"{said.get('Code', 'an error')}: {said.get('Message') or 'no reason'}")
    return brief(str(error))


def brief(text: str) -> str:
    """A text on one line, and not a long one."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= WORDS else f"{line[:WORDS]}…"


def code(error: ClientError) -> str:
    """The name of an error, as AWS's reference has it."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def asked(kind: type[Exception], expected: str, remedy: str) -> Iterator[None]:
    """Turn what AWS does not do into a sentence.

    Raises:
        kind: with what was expected, AWS's words, and the remedy.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise kind(f"expected {expected}, got: {words(error)}; {remedy}") from None
