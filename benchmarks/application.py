"""Build the API's application, as its process does before it listens; runs in the rendered service's environment."""

import os
import sys

os.environ.update(ENVIRONMENT="test", DATABASE_URL="sqlite://", BROKER_URL="redis://127.0.0.1:1/0")

from service.api.app import create_app  # type: ignore[import-not-found]

create_app()
loaded = [name for name in sys.modules if name.startswith(("service.tasks", "service.worker", "ddtrace"))]
assert not loaded, f"expected no task in the API, got: {loaded}"
