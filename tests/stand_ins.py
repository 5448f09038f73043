"""Programs that write down how they were called, and answer as the real ones do where a pipeline reads the answer."""

import json
import os
import sys
from pathlib import Path

import yaml


def main(argv: list[str]) -> None:
    """One call of the program that the first word names."""
    program, words = Path(argv[0]).name, argv[1:]
    folder = Path(os.environ["STAND_INS"])
    with (folder / "calls").open("a") as file:
        file.write(json.dumps({"program": program, "words": words}) + "\n")
    match [program, *words]:
        case ["docker", "login", *_]:
            sys.exit(0 if sys.stdin.read() == os.environ["REGISTRY_PASSWORD"] else "Error: unauthorized")
        case ["docker", "compose", "config", *_]:
            # Compose itself fills in variables too; those that are asked for here have none.
            print(json.dumps(yaml.safe_load(Path("compose.yaml").read_text())))
        case ["docker", "compose", "ps", "--quiet", store]:
            print(store)
        case ["docker", "inspect", *_, store]:
            print(os.environ[f"ADDRESS_{store.upper()}"])
        case ["docker", "run", *_] if (folder / "holes").exists():
            sys.exit("1 critical vulnerability with a fix")
        case ["docker", "buildx", "imagetools", "create", "--tag", image, _]:
            with (folder / "images").open("a") as file:
                file.write(f"{image}\n")
        case ["gh", "pr", "view", *_]:
            sys.exit('no pull requests found for branch "update"')
