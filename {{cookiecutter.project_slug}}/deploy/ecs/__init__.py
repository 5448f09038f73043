"""Amazon ECS on Fargate, where the service runs."""
