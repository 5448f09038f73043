"""Files of the service that a command changes together: all of them, or none."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Refused(Exception):
    """Nothing was changed; the sentence says why."""


def command(main: Callable[[str, str], None]) -> None:
    """Run it with the two words of the command line; what is missing is empty, and a refusal is exit code 1."""
    try:
        main(*[*sys.argv[1:], "", ""][:2])
    except Refused as error:
        sys.exit(str(error))


def write(files: Mapping[Path, str]) -> None:
    """Write them, and let ruff put the imports and lines of those in Python where they belong.

    Raises:
        Refused: it could not be done to the end; everything is as it was before.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        for path, text in files.items():
            path.write_text(text)
        python = [str(path) for path in files if path.suffix == ".py"]
        for words in (["check", "--fix", "--select", "I,RUF022"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *words, "--quiet", *python]
            subprocess.run(ruff, cwd=ROOT, check=True)
    except BaseException as error:
        for path, content in before.items():
            with contextlib.suppress(OSError):
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(content)
        if isinstance(error, subprocess.CalledProcessError):
            error = OSError(f"ruff with exit code {error.returncode}")
        if isinstance(error, OSError):
            raise Refused(f"expected to change {len(files)} files, got: {error}; all is as it was before") from error
        raise
