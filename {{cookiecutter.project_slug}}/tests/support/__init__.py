"""What the tests stand on: the service's real processes, on stores of their own."""
