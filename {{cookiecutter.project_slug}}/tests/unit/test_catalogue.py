"""What the catalogue says of a task is data: whoever can write it has nothing fetched by whoever reads it."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from service.errors import InvalidArguments
from service.jobs import catalogue
from service.jobs.model import Task


def test_a_schema_that_refers_to_another_place_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    (secret := tmp_path / "own.json").write_text('{"password": "hunter2"}')
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for place in (f"http://127.0.0.1:{server.server_port}/role", secret.as_uri()):
            with pytest.raises(InvalidArguments, match=r"run `python -m service migrate`") as caught:
                catalogue.validate(Task(name="orders.ship", schema={"$ref": f"{place}#/x"}), {})
            assert "hunter2" not in str(caught.value)
        server.shutdown()
    assert not asked


def test_a_schema_may_refer_to_its_own_parts() -> None:
    schema = {"$defs": {"number": {"type": "integer"}}, "properties": {"order": {"$ref": "#/$defs/number"}}}
    catalogue.validate(Task(name="orders.ship", schema=schema), {"order": 1})
    with pytest.raises(InvalidArguments, match="order: 'one' is not of type 'integer'"):
        catalogue.validate(Task(name="orders.ship", schema=schema), {"order": "one"})
