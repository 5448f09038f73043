"""Say what became of a deploy, on Slack where SLACK_WEBHOOK_URL is set; a channel that fails never stops a release.

`python3 deploy/announce.py OUTCOME PAGE`, with TARGET_ENV and VERSION in the environment.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

SERVICE = Path(__file__).resolve().parents[1].name
TIMEOUT_SECONDS = 5


def main(outcome: str, page: str) -> None:
    """Print the sentence, and post it."""
    sentence = f"{SERVICE} {os.environ['VERSION']} to {os.environ['TARGET_ENV']}: {outcome} ({page})"
    print(sentence)
    webhook = os.environ.get("SLACK_WEBHOOK_URL")
    if not webhook:
        return
    body = json.dumps({"text": sentence}).encode()
    request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310 - the team's own
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310 - as above
            pass
    except (OSError, ValueError) as error:
        # The error's text may hold the webhook, which is a secret.
        print(f"expected Slack to take the announcement, got: {type(error).__name__}; the deploy is not affected")


if __name__ == "__main__":
    main(*sys.argv[1:])
