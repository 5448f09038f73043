"""Keep what was chosen, and say what comes next."""

import json
import shlex
import shutil
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
CHOICES = {
    "ci": {"gitlab": ".gitlab*", "github": ".github"},
    "deploy": {"kubernetes": "deploy/kubernetes", "ecs": "deploy/ecs", "compose": "deploy/compose"},
}

for question, patterns in CHOICES.items():
    for choice, pattern in patterns.items():
        for path in sorted(Path().glob(pattern)) if choice != ANSWERS[question] else ():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

print(f"""
Next:
  cd {shlex.quote(str(Path.cwd()))}
  make dev
  make test""")
