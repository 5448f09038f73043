"""The Celery application: complete at import but for the environment, which `configure` brings."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from celery import Celery
from celery.app.task import Task
from pydantic import TypeAdapter

from service import NAME
from service.config import Settings
from service.jobs import model
from service.jobs.doorbell import broker_queue
from service.jobs.keeper import Keeper
from service.queues import QUEUES, VISIBILITY_TIMEOUT, Queue
from service.worker import policy

TASKS = "service.tasks"


class App(Celery):
    """Celery with tasks named after module and function, and held to the policy where they are defined."""

    queues: Mapping[str, Queue] = QUEUES
    # Set by the worker's parent process: the second for a loop to say that it turns.
    keeper: Keeper
    turn: Callable[[], None]

    def gen_task_name(self, name: str, module: str) -> str:
        """`reports.export`, never the queue: moving a task to another queue strands no message."""
        return f"{module.removeprefix(TASKS + '.')}.{name}"

    def task(self, *args: Any, **options: Any) -> Any:
        """As Celery's, but made at once, so that a task against the policy does not import, and for this app alone."""
        return super().task(*args, **{"lazy": False, "shared": False, **options})

    def _task_from_fun(self, fun: Any, *args: Any, **options: Any) -> Task:
        task: Task = super()._task_from_fun(fun, *args, **options)
        if fun.__module__.partition(".")[0] != "celery":
            policy.check(task)
        return task


app = App(NAME)
app.conf.update(
    # JSON only: a pickle in the queue would be remote code execution.
    accept_content=["json"],
    worker_consumer="service.worker.consumer:JobConsumer",
    # Whoever reaches the broker could stop a worker, lift its limits, or fill its memory.
    worker_enable_remote_control=False,
    **dict.fromkeys(("task_create_missing_queues", "worker_hijack_root_logger", "worker_redirect_stdouts"), False),
    **dict.fromkeys(("worker_send_task_events", "broker_connection_retry_on_startup"), True),
    broker_channel_error_retry=True,
    worker_proc_alive_timeout=30,
    broker_connection_max_retries=None,
    broker_heartbeat=10,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT,
        # The stock interval and throttle make a sweep of it every 100 seconds only.
        **dict.fromkeys(("unacked_restore_interval", "unacked_restore_throttle"), 1),
        **dict.fromkeys(("unacked_mutex_expire", "health_check_interval"), 10),
        # py-amqp has them, too, and would say good-bye for ever to whoever is gone.
        **dict.fromkeys(("socket_connect_timeout", "socket_timeout", "read_timeout", "write_timeout"), 5),
    },
)


def configure(settings: Settings) -> App:
    """Bring the environment to the application; each role does this once."""
    app.queues = settings.queues
    app.conf.broker_url = settings.broker_url.get_secret_value()
    app.conf.task_queues = [broker_queue(name) for name in QUEUES]
    app.conf.task_default_queue = app.conf.task_queues[0].name
    return app


def load_tasks() -> dict[str, Task]:
    """Import every module of `service/tasks/`; gives the service's tasks by name."""
    for module in pkgutil.iter_modules(importlib.import_module(TASKS).__path__, f"{TASKS}."):
        importlib.import_module(module.name)
    return {name: task for name, task in sorted(app.tasks.items()) if not name.startswith("celery.")}


def entries() -> Iterator[model.Task]:
    """What this version can do, as the catalogue wants it: each task, its limits, and the schema of its arguments."""
    task: Any
    for name, task in load_tasks().items():
        schema = TypeAdapter[Any](task.function).json_schema()
        limits = {"soft_limit": task.soft_time_limit, "hard_limit": task.time_limit, "max_retries": task.max_retries}
        yield model.Task(name=name, queue=task.kind, schema=schema, **limits)
