"""The service's answers, held against `openapi.yaml`; a real process answers them."""
