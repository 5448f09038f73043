"""kubectl, called with a limit, and its complaints as part of a sentence."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

Object = dict[str, Any]

CALL_SECONDS = 20
# What passes by itself is asked again so many times, after so many seconds.
TRIES = 6
PAUSE_SECONDS = 3.0
PASSING = re.compile(
    r"connection refused|connection reset|no route|unable to connect|timed? ?out|unexpected EOF|no answer within"
    r"|TooManyRequests|ServiceUnavailable|InternalError|unable to handle the request|etcdserver",
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

    def __call__(self, *arguments: str, given: object = None, seconds: float = CALL_SECONDS, tries: int = TRIES) -> str:
        """What it prints; `given` is its standard input, as JSON.

        Raises:
            Wrong: it failed, also when asked again where that may help, or said nothing for so many seconds.
        """
        command = ["kubectl", f"--request-timeout={seconds:.0f}s", "--namespace", self.namespace, *arguments]
        given = json.dumps(given) if given else ""
        for left in reversed(range(tries)):
            try:
                return self._call(command, given, seconds)
            except Wrong as wrong:
                if not left or not PASSING.search(str(wrong)):
                    raise
                time.sleep(PAUSE_SECONDS)
        raise AssertionError

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
        return self("kustomize", str(folder), tries=1)

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
        if run.returncode:
            raise Wrong(words(run.stderr) or f"exit code {run.returncode}")
        return run.stdout


def words(said: str) -> str:
    """The last lines of what was said, as a part of a sentence."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip() and not INNER.match(line)]
    last = " | ".join(lines[-3:])
    return last if len(last) <= WORDS else f"…{last[-WORDS:]}"
