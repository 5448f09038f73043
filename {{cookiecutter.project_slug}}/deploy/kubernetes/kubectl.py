"""kubectl, called with a limit, and its complaints as part of a sentence."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

Object = dict[str, Any]

# Seconds: for one call, in which what passes by itself is tried again; and between two tries.
CALL_SECONDS = 20
PAUSE_SECONDS = 3.0
PASSING = re.compile(
    r"connection refused|was refused|connection reset|no route|unable to connect|timed? ?out|unexpected EOF"
    r"|no answer within|TooManyRequests|ServiceUnavailable|InternalError|unable to handle the request|etcdserver",
    re.IGNORECASE,
)
# A log line of kubectl's own libraries, which say again what the last line says.
INNER = re.compile(r"[EWI]\d{4} [\d:.]+ +\d+ ")
WORDS = 400


class Wrong(Exception):
    """kubectl did not do it; the message is what it said last."""


class Kubectl:
    """kubectl for one namespace, let in by one kubeconfig (its own way of finding one, where that is empty)."""

    def __init__(self, namespace: str, kubeconfig: str = "") -> None:
        self.namespace = namespace
        self._environment = {**os.environ, "KUBECONFIG": kubeconfig} if kubeconfig else dict(os.environ)

    def __call__(self, *arguments: str, given: object = None, seconds: float = CALL_SECONDS, again: bool = True) -> str:
        """What it prints; `given` is its standard input, as JSON.

        Raises:
            Wrong: it failed, also when tried `again` where that may help, or said nothing for so many seconds.
        """
        command = ["kubectl", f"--request-timeout={seconds:.0f}s", "--namespace", self.namespace, *arguments]
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self._call(command, json.dumps(given) if given else "", seconds)
            except Wrong as wrong:
                if not again or not PASSING.search(str(wrong)) or time.monotonic() + PAUSE_SECONDS > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)

    def get(self, *arguments: str) -> Object:
        """One object, or a list of them; nothing where there is none."""
        said = self("get", *arguments, "--output=json", "--ignore-not-found")
        return dict(json.loads(said)) if said else {}

    def apply(self, objects: list[Object]) -> None:
        """Make the cluster's objects like these; the server itself refuses fields that it does not know."""
        several = {"apiVersion": "v1", "kind": "List", "items": objects}
        options = ("--server-side", "--force-conflicts", "--field-manager=deploy", "--validate=false")
        self("apply", *options, "--filename=-", given=several)

    def kustomize(self, folder: Path) -> str:
        """What the kustomization in the folder makes, as YAML."""
        return self("kustomize", str(folder), again=False)

    def _call(self, command: list[str], given: str, seconds: float) -> str:
        try:
            run = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                env=self._environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Wrong(f"no answer within {seconds:.0f} s") from None
        except OSError as error:
            raise Wrong(f"no kubectl on PATH ({error.strerror})") from None
        if run.returncode:
            raise Wrong(words(run.stderr) or f"exit code {run.returncode}")
        return run.stdout


def words(said: str) -> str:
    """The last lines of what was said, as a part of a sentence."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip() and not INNER.match(line)]
    last = " | ".join(lines[-3:])
    return last if len(last) <= WORDS else f"…{last[-WORDS:]}"
