"""`python -m deploy.monitors [--apply | --json]`: make Datadog's monitors and dashboard equal to the definitions.

Without a word it prints what would change, and sends nothing but questions; `--json` prints the definitions alone.
REPOSITORY_URL, where it is set, makes the runbook's lines in the alerts links.
"""

import json
import os
import sys

from deploy.monitors.dashboard import dashboard
from deploy.monitors.datadog import Wrong, shelves
from deploy.monitors.definitions import monitors
from deploy.monitors.sync import plan

WORDS = ("--apply", "--json")


def main(words: list[str]) -> None:
    """Plan, print, and do it where that is asked for."""
    if len(words) > 1 or not set(words) <= set(WORDS):
        raise Wrong(f"expected nothing, {' or '.join(WORDS)}, got: {' '.join(words)}")
    repository = os.environ.get("REPOSITORY_URL", "").rstrip("/").removesuffix(".git")
    definitions = [monitors(f"{repository}/blob/HEAD/README.md" if repository else "README.md"), [dashboard()]]
    if "--json" in words:
        print(json.dumps(dict(zip(("monitors", "dashboards"), definitions, strict=True)), indent=2))
        return
    with shelves() as both:
        steps = [step for shelf, wanted in zip(both, definitions, strict=True) for step in plan(shelf, wanted)]
        if "--apply" in words:
            # All are judged before the first is changed.
            for step in steps:
                step.validate()
        for step in steps:
            if "--apply" in words:
                step.apply()
            print(step, flush=True)
    done = "done" if "--apply" in words else "to do, nothing was changed; `make monitors APPLY=1` does it"
    print(f"{len(steps)} {done}" if steps else "nothing to do")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Wrong as error:
        sys.exit(str(error))
