"""The service's command line with the tests' own tasks beside the service's: `python -m tests.support worker fast`."""

from pathlib import Path

import service.tasks
from service.cli import main

service.tasks.__path__.append(str(Path(__file__).parent / "tasks"))
main()
