"""Calls to third parties: one HTTP client, and the guards it works behind."""
