"""`make load`: drive a running service with Locust for a while, and write a page about how it did.

What to look for is in the README; the users are in `locustfile.py`.
"""

import os
import sys
from pathlib import Path

REPORT = Path(".local/load.html")
LOCUSTFILE = Path(__file__).with_name("locustfile.py")

REMEDY = "run `make dev` in another terminal, and export what it prints: API=http://127.0.0.1:8000 TOKEN=…"


def command(users: str, seconds: str) -> list[str]:
    """Locust's command line: so many users, a tenth of them more each second, for so many seconds.

    Raises:
        SystemExit: API or TOKEN is missing, or a number is none.
    """
    for name in ("API", "TOKEN"):
        if not os.environ.get(name):
            sys.exit(f"expected {name} to say where the service is and what opens it, got: nothing; {REMEDY}")
    for name, value in (("USERS", users), ("SECONDS", seconds)):
        if not value.isdigit() or not int(value):
            sys.exit(f"expected {name} to be a number above 0, got: {value!r}; leave it out, or write {name}=20")
    rate = max(1, int(users) // 10)
    words = ["--headless", "--only-summary", "--host", os.environ["API"].rstrip("/"), "--users", users]
    words += ["--spawn-rate", str(rate), "--run-time", f"{seconds}s", "--stop-timeout", "10"]
    return [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), *words, "--html", str(REPORT)]


def main() -> None:
    """Become Locust."""
    words = command(os.environ.get("USERS") or "20", os.environ.get("SECONDS") or "30")
    REPORT.parent.mkdir(exist_ok=True)
    print(f"  the report will be {REPORT}", flush=True)
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
