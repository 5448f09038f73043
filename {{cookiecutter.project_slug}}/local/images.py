"""Take the newest patch of each image that is named here, and the digest that says which build of it: `make update`.

A tag's last number is raised alone: postgres:17.11-alpine becomes postgres:17.12-alpine, never 18; that is a decision.
"""

import re
import sys
from functools import cache
from pathlib import Path

from deploy.platform import Refused
from deploy.registry import ask

PROJECT = Path(__file__).resolve().parent.parent

FILES = (
    "Dockerfile",
    "compose.yaml",
    "deploy/image",
    "deploy/*/*.yaml",
    ".gitlab-ci.yml",
    ".gitlab/*.yml",
)

# An image where these files name one, with a version of numbers and, after the first update, a digest.
NAMED = re.compile(
    r"""((?:FROM\ |--from=|\b(?:image|name):\ "?|^(?:buildkit|scanner)=))  # what comes before it
    ([a-z0-9.-]+(?::[0-9]+(?=/))?(?:/[a-z0-9._-]+)*):(v?[0-9]+(?:\.[0-9]+)+)((?:-[a-z]+)*)(?:@sha256:[0-9a-f]{64})?""",
    re.MULTILINE | re.VERBOSE,
)

# It is written into a shell's script, so it is this and nothing else.
DIGEST = re.compile("sha256:[0-9a-f]{64}")


def main() -> None:
    """Write what is newest into the files, and print what changed.

    Raises:
        Refused: a registry does not answer, or does not know an image; nothing was written then.
    """
    read = {path: path.read_text() for pattern in FILES for path in sorted(PROJECT.glob(pattern))}
    written = {
        path: NAMED.sub(lambda found: found[1] + _newest(*found.groups()[1:]), text) for path, text in read.items()
    }
    for path, text in written.items():
        if text != read[path]:
            path.write_text(text)
            print(f"{path.relative_to(PROJECT)}: newer images")


@cache
def _newest(image: str, version: str, variant: str) -> str:
    line = version.rpartition(".")[0]
    patches = re.compile(rf"{re.escape(line)}\.([0-9]+){re.escape(variant)}")
    known = ask("GET", image, "tags/list")
    found = [patches.fullmatch(tag) for tag in (known.json().get("tags") or [] if known.is_success else [])]
    newest = max((int(each[1]) for each in found if each), default=int(version.rpartition(".")[2]))
    tag = f"{line}.{newest}{variant}"
    answer = ask("HEAD", image, f"manifests/{tag}")
    digest = answer.headers.get("Docker-Content-Digest", "")
    if not answer.is_success or not DIGEST.fullmatch(digest):
        raise Refused(
            f"expected {image}:{tag} and its digest in its registry, got: status {answer.status_code}, "
            f"{'no' if answer.is_success else 'and no'} digest; is it still published?"
        )
    return f"{image}:{tag}@{digest}"


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
