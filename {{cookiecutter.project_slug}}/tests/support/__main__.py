"""The service's command line with the tests' own tasks beside the service's: `python -m tests.support worker fast`."""

import json
import os
from pathlib import Path
from pkgutil import resolve_name

import service.tasks
from service.cli import main

# Which folder of tasks: an older version has not heard of the tests' own, and a broken one does not import.
if folder := os.environ.get("TRIALS"):
    service.tasks.__path__.append(folder)
if os.environ.get("DOOR"):
    from tests.support.door import open_door

    open_door()
# A file of seconds, by which the clock of this process is wrong.
if file := os.environ.get("CLOCK"):
    from tests.support.clock import follow

    follow(Path(file))
if os.environ.get("UNREDACTED"):
    from tests.support.unredacted import open_books

    open_books()
# Seconds after which a purge leaves the rest to the next.
if seconds := os.environ.get("PURGE_SECONDS"):
    from service.tasks import maintenance

    maintenance.PURGE_SECONDS = float(seconds)
# Schedules beside the service's own, as JSON; and the seconds by which the store's clock is to be another.
if declared := os.environ.get("SCHEDULES"):
    from service.queues import SCHEDULE

    # Named, since it goes with its shape.
    declare = resolve_name("service.schedules:Schedule")
    SCHEDULE.update({name: declare(**fields) for name, fields in json.loads(declared).items()})
if seconds := os.environ.get("STORE_CLOCK"):
    from tests.support.clock import shift_store

    shift_store(float(seconds))
# A file, in whose presence the loop of this process stands still.
if file := os.environ.get("WEDGE"):
    from tests.support import wedge

    wedge.follow(Path(file))
# The same for a beat that has its lease and something to do, or that is doing it.
for where in ("LEASE", "RUN"):
    if file := os.environ.get(f"WEDGE_{where}"):
        from tests.support import wedge

        wedge.follow_beat(Path(file), where)
main()
