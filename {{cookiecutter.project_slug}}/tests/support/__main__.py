"""The service's command line with the tests' own tasks beside the service's: `python -m tests.support worker fast`."""

import os
from pathlib import Path

import service.tasks
from service.cli import main

# A worker of an older version, which has not heard of them, is made by leaving them out.
if "WITHOUT_TRIALS" not in os.environ:
    service.tasks.__path__.append(str(Path(__file__).parent / "tasks"))
main()
