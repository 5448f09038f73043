"""The lock of an environment: a parameter of Systems Manager, which one alone can create."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from deploy.ecs.aws import asked, code
from deploy.platform import Failed, Refused

# What a killed deploy left over gives way after so long.
LEFTOVER = timedelta(hours=1)
REMEDY = "let the deploy's credentials read, put and delete parameters, as the policy in deploy/ecs/account.yaml says"


@dataclass(frozen=True)
class Lock:
    """Who holds it is the parameter's value, with a mark, by which an answer that was lost is told from another's."""

    ssm: Any
    name: str
    region: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def take(self, holder: str) -> None:
        """Create the parameter, or take it over when it is a leftover.

        Raises:
            Refused: another has it, or AWS does not let one.
        """
        with asked(Refused, "to lock the environment", REMEDY):
            try:
                self._put(holder, overwrite=False)
            except ClientError as error:
                if code(error) != "ParameterAlreadyExists":
                    raise
            else:
                return
            there = self._get()
            if there is None:
                # It was given back between the two questions.
                self._put(holder, overwrite=False)
            elif self._mark(there) != self.mark:
                self._replace(there, holder)

    def give(self) -> None:
        """Delete the parameter, unless another has it by now, by whatever name.

        Raises:
            Failed: AWS does not let one.
        """
        with asked(Failed, "to unlock the environment", f"once it can be done: {self._command}"):
            there = self._get()
            if there is not None and self._mark(there) == self.mark:
                try:
                    self.ssm.delete_parameter(Name=self.name)
                except ClientError as error:
                    if code(error) != "ParameterNotFound":
                        raise

    def _replace(self, there: dict[str, Any], holder: str) -> None:
        """Take a leftover over: each write has a number of its own, so of two that try one knows it was second."""
        if datetime.now(UTC) - there["LastModifiedDate"] < LEFTOVER:
            raise self._held(there)
        number = self._put(holder, overwrite=True)
        if number == there["Version"] + 1:
            return
        first = self.ssm.get_parameter(Name=f"{self.name}:{there['Version'] + 1}")["Parameter"]
        self.ssm.put_parameter(Name=self.name, Value=first["Value"], Type="String", Overwrite=True)
        raise self._held(first)

    def _put(self, holder: str, overwrite: bool) -> int:
        value = json.dumps({"holder": holder, "mark": self.mark})
        put = self.ssm.put_parameter(Name=self.name, Value=value, Type="String", Overwrite=overwrite)
        return int(put["Version"])

    def _get(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.ssm.get_parameter(Name=self.name)["Parameter"]
        except ClientError as error:
            if code(error) != "ParameterNotFound":
                raise
            return None
        return found

    def _held(self, there: dict[str, Any]) -> Refused:
        since = there["LastModifiedDate"].astimezone(UTC)
        return Refused(
            f"expected no other deploy to be under way, got: one of {self._holder(there)} since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC; wait for its end, or, if it is dead: {self._command}"
        )

    @property
    def _command(self) -> str:
        return f"aws ssm delete-parameter --region {self.region} --name {self.name}"

    def _holder(self, there: dict[str, Any]) -> str:
        return str(_value(there).get("holder", there["Value"]))

    def _mark(self, there: dict[str, Any]) -> str:
        return str(_value(there).get("mark", ""))


def _value(there: dict[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(there["Value"])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
