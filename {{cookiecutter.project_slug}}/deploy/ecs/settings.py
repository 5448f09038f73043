"""What the file of an environment says about its place, and what it leaves out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.platform import ROLES, Refused

FOLDER = Path(__file__).parent

NAMES = ("region", "cluster", "execution_role", "task_role", "log_group", "target_group", "api_url")
LISTS = ("subnets", "security_groups")
# Without these no role starts; each is the address of a secret or of a parameter.
SECRETS = ("DATABASE_URL", "BROKER_URL", "API_TOKENS")

Settings = dict[str, Any]


def read(environment: str) -> Settings:
    """The content of the environment's file.

    Raises:
        Refused: there is no such environment, or its file is no JSON object.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    if environment not in known:
        raise Refused(
            f"expected TARGET_ENV to be one of {', '.join(known)}, got: {environment or 'nothing'}; "
            "a new one begins as a copy of deploy/ecs/staging.json"
        )
    try:
        settings = json.loads((FOLDER / f"{environment}.json").read_text())
    except ValueError as error:
        raise Refused(f"expected deploy/ecs/{environment}.json to be JSON, got: {error}; mend it there") from None
    if not isinstance(settings, dict):
        raise Refused(f"expected deploy/ecs/{environment}.json to be an object, got: {settings!r}; see staging.json")
    return settings


def missing(settings: Settings) -> Iterator[str]:
    """Everything that the file has to say and does not, by its name."""
    for name in NAMES:
        if not isinstance(settings.get(name), str) or not settings[name]:
            yield name
    for name in LISTS:
        values = settings.get(name)
        if not isinstance(values, list) or not values or not all(isinstance(each, str) and each for each in values):
            yield name
    secrets, counts = _object(settings, "secrets"), _object(settings, "counts")
    for name in dict.fromkeys([*SECRETS, *secrets]):
        if not isinstance(secrets.get(name), str) or not secrets[name]:
            yield f"secrets.{name}"
    for role in ROLES:
        if not isinstance(counts.get(role), int) or counts[role] < 1:
            yield f"counts.{role}"


def _object(settings: Settings, name: str) -> dict[str, Any]:
    value = settings.get(name)
    return value if isinstance(value, dict) else {}
