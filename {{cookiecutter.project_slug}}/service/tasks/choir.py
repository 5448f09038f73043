"""A choir: the example of a task whose jobs go together, as many as there are."""

from service.jobs.shapes.aggregation import collects
from service.worker import FastTask, app


@app.task(base=FastTask, bind=True)
@collects(len, up_to=10, within=2.0)
def sing(self: FastTask, voices: int) -> int:
    """Sing with as many as there are; gives how many that is."""
    self.job.log(f"sang with {voices - 1} others")
    return voices
