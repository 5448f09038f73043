"""What the service lets be seen: logs, traces, metrics, error events."""
