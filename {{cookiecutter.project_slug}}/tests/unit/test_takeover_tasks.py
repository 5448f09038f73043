"""Taking over: what is a task, and what it was given, in all the ways in which people write it."""

from pathlib import Path

import pytest

from local.takeover.project import Project
from local.takeover.rules import findings
from local.takeover.source import read


def project(folder: Path, **modules: str) -> Project:
    """These modules, read."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return Project(read(folder))


def rules(folder: Path, **modules: str) -> set[str]:
    """The names of the rules that find something in these modules."""
    return {each.rule for each in findings(project(folder, **modules))}


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("from celery import Celery\napp = Celery()\n@app.task\ndef f(): ...", "jobs.f"),
        ("from celery import Celery\ncelery = Celery()\n@celery.task(bind=True)\ndef f(self): ...", "jobs.f"),
        ("from celery import shared_task\n@shared_task\ndef f(): ...", "jobs.f"),
        ("from celery import shared_task as task\n@task()\nasync def f(): ...", "jobs.f"),
        ("import celery\n@celery.shared_task(name='billing.f')\ndef f(): ...", "billing.f"),
        ("from celery.task import task\n@task\ndef f(): ...", "jobs.f"),
        ("from shop.queue import app\n@app.task\ndef f(): ...", "jobs.f"),
        ("from shop.queue import app\ntask = app.task\n@task\ndef f(): ...", "jobs.f"),
        ("from shop import make\napp = make()\n@app.task\n@other\ndef f(): ...", "jobs.f"),
        ("from shop import make\ndef create():\n    app = make()\n    @app.task\n    def f(): ...", "jobs.f"),
        ("from celery import Task\nclass F(Task):\n    name = 'f'\n    def run(self): ...", "f"),
        ("import celery\nclass B(celery.Task): ...\nclass F(B):\n    def run(self): ...", "jobs.F"),
        ("from shop.queue import app\nclass F(app.Task):\n    def run(self): ...", "jobs.F"),
    ],
)
def test_a_task_is_found_however_it_is_declared(tmp_path: Path, declared: str, name: str) -> None:
    assert [task.name for task in project(tmp_path, jobs=declared).tasks] == [name]


@pytest.mark.parametrize(
    "declared",
    [
        "from invoke import task\n@task\ndef f(context): ...",
        "from prefect import task\n@task(retries=3)\ndef f(): ...",
        "import huey\nqueue = huey.RedisHuey()\n@queue.task()\ndef f(): ...",
        "from airflow.decorators import dag, task\n@task.virtualenv\ndef f(): ...",
        "from celery import Task\nclass Base(Task):\n    abstract = True\n    def run(self): ...",
        "from celery import Task\nclass Base(Task):\n    time_limit = 5",
        "class Task: ...\nclass F(Task):\n    def run(self): ...",
        "def task(f): return f\n@task\ndef f(): ...",
    ],
)
def test_what_is_no_task_of_celery_is_none(tmp_path: Path, declared: str) -> None:
    assert project(tmp_path, jobs=declared).tasks == []


TASK = "from shop.queue import app\n@app.task\ndef f(): ...\n"


@pytest.mark.parametrize(
    "given",
    [
        "app.conf.task_time_limit = 60\napp.conf.task_soft_time_limit = 50",
        "app.conf['task_time_limit'] = 60\napp.conf['task_soft_time_limit'] = 50",
        "app.conf.update(task_time_limit=60, task_soft_time_limit=50)",
        "app.conf.update({'task_time_limit': 60, 'task_soft_time_limit': 50})",
        "CELERY_TASK_TIME_LIMIT = 60\nCELERY_TASK_SOFT_TIME_LIMIT = 50",
        "CELERYD_TASK_TIME_LIMIT = 60\nCELERYD_TASK_SOFT_TIME_LIMIT = 50",
        "class Config:\n    task_time_limit: int = 60\n    task_soft_time_limit: int = 50",
        "app.conf.task_annotations = {'*': {'time_limit': 60, 'soft_time_limit': 50}}",
        "CELERY_TASK_ANNOTATIONS = {'jobs.f': dict(time_limit=60, soft_time_limit=50)}",
        "from celery import Task\nclass B(Task):\n    time_limit = soft_time_limit = 60\napp = Celery(task_cls=B)",
        "from celery import Task\nclass B(Task):\n    time_limit = soft_time_limit = 60\napp.Task = B",
    ],
)
def test_limits_for_all_tasks_are_seen_in_every_spelling(tmp_path: Path, given: str) -> None:
    assert "time-limit" in rules(tmp_path, jobs=TASK)
    assert "time-limit" not in rules(tmp_path, jobs=TASK, settings=given)


@pytest.mark.parametrize(
    ("before", "decorator", "silent"),
    [
        ("OPTIONS = {'time_limit': 60, 'soft_time_limit': 50}", "**OPTIONS", True),
        ("OPTIONS = dict(time_limit=60, soft_time_limit=None)", "**OPTIONS", False),
        ("class B(app.Task):\n    time_limit = 60\nclass C(B):\n    soft_time_limit = 50", "base=C", True),
        ("class B(app.Task):\n    time_limit = 60\n    soft_time_limit = 50", "base=B, time_limit=None", False),
        ("from service.worker import FastTask", "base=FastTask", True),
        ("from service.worker import FastTask as Base\nclass B(Base): ...", "base=B", True),
        ("from service.worker import FastTask", "base=FastTask, soft_time_limit=None", False),
        ("from elsewhere import FastTask", "base=FastTask", False),
        ("from celery import Task as Base\nclass Task:\n    time_limit = soft_time_limit = 60", "base=Base", False),
    ],
)
def test_what_a_task_was_given_comes_from_its_decorator_and_its_bases(
    tmp_path: Path, before: str, decorator: str, silent: bool
) -> None:
    text = f"from shop.queue import app\n{before}\n@app.task({decorator})\ndef f(): ..."
    assert ("time-limit" not in rules(tmp_path, jobs=text)) is silent


def test_a_setting_of_one_name_is_not_taken_for_another(tmp_path: Path) -> None:
    given = "CELERY_TASK_SOFT_TIME_LIMIT = 50\nDELETE_TASK_TIME_LIMIT = 60\nbroker_url_timeout = 'sqlite://'"
    assert {"time-limit", "database-broker"} & rules(tmp_path, jobs=TASK, settings=given) == {"time-limit"}


def test_with_rabbitmq_there_is_no_visibility_timeout(tmp_path: Path) -> None:
    sent = TASK + "def later():\n    f.apply_async(countdown=86_400)\n"
    assert "visibility" in rules(tmp_path, jobs=sent)
    assert "visibility" not in rules(tmp_path, jobs=sent, settings="BROKER_URL = 'amqp://broker'")
    (tmp_path / "settings.py").write_text("broker_transport_options = {'visibility_timeout': 2 * 86_400}")
    assert "visibility" not in rules(tmp_path)
