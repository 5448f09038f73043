"""The jobs of RQ, in a module of their own as its README has them: each worker imports it anew for each job."""


def export(title: str, rows: int) -> None:
    """Stand for the example's report."""


def nothing() -> None:
    """Do nothing."""
