"""The HTTP front: what `openapi.yaml` describes, and nothing else."""

import warnings

# Connexion imports Starlette's test client, which complains about a library that only tests use.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")
