"""The service's command line with the tests' own tasks beside the service's: `python -m tests.support worker fast`."""

import os

import service.tasks
from service.cli import main

# Which folder of tasks: an older version has not heard of the tests' own, and a broken one does not import.
if folder := os.environ.get("TRIALS"):
    service.tasks.__path__.append(folder)
main()
