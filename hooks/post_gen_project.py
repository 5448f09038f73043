"""Keep what was chosen, and say what comes next."""

import json
import shlex
import shutil
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
CHOICES = {
    "ci": {"gitlab": ".gitlab-ci.yml", "github": ".github"},
    "deploy": {"kubernetes": "deploy/kubernetes", "ecs": "deploy/ecs", "compose": "deploy/compose"},
}

for question, paths in CHOICES.items():
    for choice, path in paths.items():
        if choice == ANSWERS[question]:
            continue
        if Path(path).is_dir():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

print(f"""
Next:
  cd {shlex.quote(str(Path.cwd()))}
  make dev
  make test""")
