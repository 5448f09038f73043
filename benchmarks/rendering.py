"""Rendering, and the small things that happen once: the API's application, and a platform's probe of a worker."""

import os
import shutil
from typing import Any

from benchmarks.processes import Trouble, run
from benchmarks.stage import REPOSITORY, Stage, render
from benchmarks.timing import interleaved

# What others render who want Celery beside a web framework; a folder or an address that git knows.
DJANGO = os.environ.get("DJANGO_TEMPLATE", "https://github.com/cookiecutter/cookiecutter-django")
CLONE_SECONDS = 60.0


def measure(stage: Stage) -> dict[str, Any]:
    """Rendering with the default answers, beside cookiecutter copying the same files, and cookiecutter-django."""
    plain, scratch = stage.scratch / "files", stage.scratch
    shutil.copytree(stage.rendered, plain / "{{cookiecutter.project_slug}}", symlinks=True)
    (plain / "cookiecutter.json").write_text('{"project_slug": "order-desk", "_copy_without_render": ["*"]}')
    contestants = {
        "ours": lambda round_: render(REPOSITORY, scratch / f"ours-{round_}"),
        "copied": lambda round_: render(plain, scratch / f"copied-{round_}"),
    }
    django = scratch / "cookiecutter-django"
    try:
        quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        words = ["git", "clone", "--quiet", "--depth", "1", DJANGO, str(django)]
        run(*words, folder=scratch, environment=quiet, seconds=CLONE_SECONDS)
        contestants["django"] = lambda round_: render(django, scratch / f"django-{round_}", "use_celery=y")
    except Trouble as error:
        stage.trouble("cookiecutter-django", error)
    found = dict(zip(contestants, interleaved(*contestants.values()), strict=True))
    about = "seconds to render with the default answers; to copy the same files; and of cookiecutter-django with Celery"
    return {"about": about, "seconds": {name: round(seconds, 2) for name, seconds in found.items()}}


def application(stage: Stage) -> dict[str, Any]:
    """The API's process, from its start to the moment before it listens, and the interpreter alone."""
    python, service = str(stage.service / ".venv/bin/python"), stage.service
    ours, alone = interleaved(
        lambda _: run(python, "-m", "benchmarks.application", folder=service),
        lambda _: run(python, "-c", "pass", folder=service),
    )
    return {"seconds": {"application": round(ours, 2), "interpreter": round(alone, 2)}}


def probing(stage: Stage) -> dict[str, Any]:
    """A platform's look at a worker, beside what a probe in Python pays before it has looked at anything."""
    service = stage.service
    asked = ["env", f"STATE_DIR={stage.scratch}", "HEARTBEAT_SECONDS=300", "./alive", "worker-fast"]
    ours, celery = interleaved(
        lambda _: run(*asked, folder=service),
        lambda _: run(str(service / ".venv/bin/python"), "-c", "import celery", folder=service),
        prepare=lambda: (stage.scratch / "worker-fast.heartbeat").touch(),
    )
    about = "seconds that a probe of a worker takes, and a Python that imports Celery"
    return {"about": about, "seconds": {"probe": round(ours, 3), "celery": round(celery, 3)}}
