"""A client that was generated from `openapi.yaml`, and that nobody has touched, gets its work done."""

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import service
from local.example import example
from service.api.contract import operations, specification
from tests.contract.conftest import Service, opened
from tests.support.stack import Stack

SPECIFICATION = Path(service.__file__).with_name("openapi.yaml")
# Its own would tidy up with ruff; the client works as it comes.
CONFIGURATION = "post_hooks: []\n"

NAME = "generated_client"
SECONDS = 60.0


@pytest.fixture
def api(running: Stack) -> Iterator[Service]:
    """An API beside both workers."""
    with opened(running, PORT="0") as made:
        yield made


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Generate the package; gives its name."""
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(CONFIGURATION)
    command: list[str | Path] = [
        Path(sys.executable).with_name("openapi-python-client"),
        "generate",
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    files: list[str | Path] = ["--path", SPECIFICATION, "--config", configuration, "--output-path", tmp_path / NAME]
    subprocess.run([*command, *files], check=True, capture_output=True)
    monkeypatch.syspath_prepend(tmp_path)
    return NAME


def function(package: str, wanted: str) -> Any:
    """The module that calls an operation."""
    tag = next(operation["tags"][0] for *_, operation in operations() if operation["operationId"] == wanted)
    return import_module(f"{package}.api.{tag}.{wanted.replace('.', '_')}")


def test_it_orders_waits_and_reads_the_result(running: Stack, api: Service, generated: str) -> None:
    """It asks again as often as Retry-After says, with the tag that it has, until the job has ended."""
    order = example()
    if order is None:
        pytest.skip("the service takes no order yet")
    operation = specification()["paths"][order.path]["post"]
    model = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    package = import_module(generated)
    body = getattr(import_module(f"{generated}.models"), model).from_dict(dict(order.body))
    create, show = function(generated, operation["operationId"]), function(generated, "service.api.jobs.show")
    with package.AuthenticatedClient(api.url, api.tokens["anna"]) as client:
        accepted = create.sync_detailed(client=client, body=body, idempotency_key="order-1842")
        assert accepted.status_code == 202
        job, tag, deadline = accepted.parsed, None, time.monotonic() + SECONDS
        if job.queue != "slow":
            pytest.skip("the first order of the contract is fast work, which calls third parties")
        while job.ended_at is None:
            asked = show.sync_detailed(job.id, client=client, **({"if_none_match": tag} if tag else {}))
            assert asked.status_code in {200, 304}
            assert time.monotonic() < deadline, job
            if asked.status_code == 200:
                job, tag = asked.parsed, asked.headers["etag"]
            if job.ended_at is None:
                time.sleep(int(asked.headers["retry-after"]))
    row = running.job(str(job.id))
    assert (str(job.state), job.result) == ("succeeded", row.result)
    assert row.result is not None
