"""One virtual machine, over SSH: every role in a container of its own, the API twice behind a proxy."""
