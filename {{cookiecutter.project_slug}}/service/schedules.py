"""What a schedule is: the declaration that `queues.py` makes of each in SCHEDULE."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Schedule(BaseModel):
    """When a task runs by itself, and what becomes of a run that cannot begin in its time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="what runs; `check` refuses one that this version does not know")
    cron: str = Field(description="minute, hour, day of the month, month, day of the week, as Debian's cron has them")
    timezone: str = Field(default="UTC", description="whose clock the line goes by, by its IANA name")
    kwargs: dict[str, Any] = Field(default={}, description="what the task is given")
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip", description="a run is left out, waits or begins while the one before has not ended"
    )
    expires: float | None = Field(
        default=None, gt=0, description="seconds after its time in which a run may begin; else until the next is due"
    )

    @model_validator(mode="after")
    def _comes(self) -> Self:
        try:
            if len(self.cron.split()) != 5 or next(self.times(datetime(2024, 1, 1, tzinfo=UTC)), None) is None:
                raise CronSimError("Not five fields that ever meet")
        except (CronSimError, KeyError, ValueError, OSError) as error:
            what, like = ("cron", "15 3 * * *") if isinstance(error, CronSimError) else ("timezone", "Europe/Berlin")
            raise ValueError(f"expected {what} to be like '{like}', got: '{getattr(self, what)}'; {error}") from error
        return self

    def times(self, after: datetime) -> Iterator[datetime]:
        """When it is due after this moment, in UTC: once in the hour that comes twice, and in the one that is left out.

        So it is for a line with a fixed hour; what comes every hour comes with each hour that passes.
        """
        # In the second of two equal hours the first time of the line may lie behind.
        local = CronSim(self.cron, after.astimezone(ZoneInfo(self.timezone)))
        return (moment.astimezone(UTC) for moment in local if moment.astimezone(UTC) > after)
