"""Kubernetes as the place that the service is deployed to."""
