"""What is counted, and when; the agent is a real socket."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from service import NAME, config
from service.api import metrics as served
from service.observe import committed, metrics, names
from tests.support.agent import Metrics
from tests.support.waiting import until


@pytest.fixture
def session() -> Iterator[Session]:
    """A session on a database of its own, with a transaction that has begun."""
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    with Session(engine) as made:
        made.execute(text("SELECT 1"))
        yield made
    engine.dispose()


class TestCommitted:
    def test_tells_once_what_was_committed(self, session: Session) -> None:
        told: list[str] = []
        committed.then(session, lambda: told.append("first"))
        assert told == []
        session.commit()
        session.execute(text("SELECT 1"))
        session.commit()
        assert told == ["first"]

    def test_tells_nothing_that_was_rolled_back_even_if_the_session_goes_on(self, session: Session) -> None:
        told: list[str] = []
        committed.then(session, lambda: told.append("first"))
        session.rollback()
        session.execute(text("SELECT 1"))
        committed.then(session, lambda: told.append("second"))
        session.commit()
        assert told == ["second"]

    def test_a_savepoint_takes_its_own_with_it(self, session: Session) -> None:
        told: list[str] = []
        committed.then(session, lambda: told.append("before"))
        with suppress(ValueError), session.begin_nested():
            with session.begin_nested():
                committed.then(session, lambda: told.append("inner"))
            committed.then(session, lambda: told.append("outer"))
            raise ValueError("no")
        with session.begin_nested():
            committed.then(session, lambda: told.append("kept"))
        assert told == []
        session.commit()
        assert told == ["before", "kept"]

    def test_a_released_savepoint_goes_with_its_transaction(self, session: Session) -> None:
        told: list[str] = []
        with session.begin_nested():
            committed.then(session, lambda: told.append("inner"))
        session.rollback()
        session.execute(text("SELECT 1"))
        session.commit()
        assert told == []

    def test_a_closed_session_asked_for_nothing(self, session: Session) -> None:
        told: list[str] = []
        committed.then(session, lambda: told.append("first"))
        session.close()
        session.execute(text("SELECT 1"))
        session.commit()
        assert told == []


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """An agent that this process sends to."""
    monkeypatch.setattr(metrics, "_agent", None)
    with Metrics() as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        metrics.configure(settings(**made.environment))
        yield made


def settings(**environment: str) -> config.Settings:
    """Settings of a test, with these variables."""
    return config.read(
        {"ENVIRONMENT": "test", "DATABASE_URL": "sqlite:///x", "BROKER_URL": "redis://x", "SERVICE_VERSION": "7"}
        | environment
    )


class TestAgent:
    def test_gets_each_metric_with_its_tags(self, agent: Metrics) -> None:
        metrics.count("schedule.submitted", entry="purge")
        metrics.distribution("jobs.wait", 0.25, task="a.b", queue="fast")
        until(lambda: len(agent.seen) == 2)
        counted, measured = agent.seen
        assert (counted.name, counted.value, counted.kind) == ("schedule.submitted", 1, "c")
        assert counted.tags == {"entry": "purge", "service": NAME, "env": "test", "version": "7"}
        assert (measured.name, measured.value, measured.kind) == ("jobs.wait", 0.25, "d")
        assert measured.tags.items() >= {"task": "a.b", "queue": "fast"}.items()

    def test_a_metric_without_its_tags_is_a_mistake_that_shows(self, agent: Metrics) -> None:
        with pytest.raises(KeyError, match="queue"):
            metrics.count("jobs.failed", task="a.b")

    def test_gauges_are_those_of_the_list_and_looked_at_now_and_then(
        self, agent: Metrics, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics, "_next_look", 0.0)
        queue = SimpleNamespace(name="fast", depth=3, oldest_seconds=1.5, running=2, workers=["w"], dead_letters=4)
        looks: list[int] = []

        def store() -> tuple[list[Any], int]:
            looks.append(1)
            return [queue], 1

        metrics.look(store)
        metrics.look(store)
        until(lambda: len(agent.seen) == len(names.GAUGES))
        assert {each.name for each in agent.seen} == set(names.GAUGES)
        assert [(each.value, each.tags["queue"]) for each in agent.of("queue.workers")] == [(1, "fast")]
        assert len(looks) == 1

    def test_nobody_looks_where_nobody_wants_to_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(metrics, "_agent", None)
        monkeypatch.setattr(metrics, "_next_look", 0.0)
        metrics.look(lambda: pytest.fail("looked"))
        assert list(metrics.of_job(None, "started")) == []

    def test_one_whose_name_is_unknown_is_said_once_and_left_alone(self) -> None:
        code = (
            "import sys; from tests.unit.test_metrics import settings; from service.observe import metrics\n"
            "metrics.configure(settings(DD_AGENT_HOST='nowhere.invalid'))\n"
            "metrics.count('doorbell.failed')\n"
            "sys.exit('datadog' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.count("agent's name unknown")) == (0, 1), done.stderr


class TestServed:
    def test_labels_stay_few_whatever_callers_send(self) -> None:
        for number in range(100):
            served.served("", f"METHOD{number}", 404, 0.01)
        served.served("service.api.jobs.show", "GET", 200, 0.01)
        exposed = generate_latest(_without_store()).decode()
        families = {family.name: family for family in text_string_to_metric_families(exposed)}
        seen = [set(sample.labels.values()) for sample in families["api_requests"].samples]
        assert {"404", "other", "none"} in seen
        assert {"200", "GET", "jobs.show"} in seen
        assert "METHOD" not in exposed


def _without_store() -> Any:
    return served.REGISTRY.restricted_registry(["api_requests_total", "api_duration_seconds"])
