"""What Datadog watches and draws: `make monitors` shows what would change there, `make monitors APPLY=1` changes it."""
