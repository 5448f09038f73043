"""Where a queue is written down beside the policy, and how it is called there."""


def base(queue: str) -> str:
    """The base class of the queue's tasks: BulkImportsTask for bulk-imports."""
    return "".join(part.capitalize() for part in queue.split("-")) + "Task"
