"""AWS on this machine: moto's server, and a front before it that answers as ECS does where moto does not go on."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Lock, Thread
from typing import Any
from urllib.parse import parse_qs

import boto3
import httpx

from tests.conftest import tool
from tests.ecs_scheduler import Scheduler

REGION = "eu-north-1"
REPOSITORY = "desk"
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"
ANYBODY = {"aws_access_key_id": "AKIAANYBODY", "aws_secret_access_key": "anything"}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
START_SECONDS = 60
# More than the hour after which a lock gives way.
LEFTOVER_SECONDS = 3700


@dataclass
class Parameters:
    """What the front changes of Systems Manager: the value of `dead` is old, and those who `meet` read it at once."""

    dead: str = ""
    meet: Barrier | None = None

    def answer(self, asked: dict[str, str], content: bytes) -> bytes:
        """A parameter, older than it is."""
        said = json.loads(content)
        if self.dead and self.dead in said.get("Parameter", {}).get("Value", ""):
            said["Parameter"]["LastModifiedDate"] -= LEFTOVER_SECONDS
            if self.meet and ":" not in asked["Name"]:
                self.meet.wait(START_SECONDS)
        return json.dumps(said).encode()


@dataclass
class Aws:
    """One account: the address that the deploy is given, the one behind it, and what the front does between them."""

    url: str
    moto: str
    scheduler: Scheduler
    parameters: Parameters
    owner: dict[str, str] = field(default_factory=lambda: ANYBODY)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        """A client of the account's owner, who goes in by the back door."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.moto, **self.owner)

    def make(self, service: Path) -> None:
        """What a team makes before its first deploy, with the service's own template, and the file that it fills."""
        folder, ec2 = service / "deploy" / "ecs", self.client("ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        values = {
            "Environment": "staging",
            "Vpc": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            "Subnets": ",".join(subnets),
        }
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName="order-desk-staging",
            TemplateBody=(folder / "account.yaml").read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        )
        (stack,) = formation.describe_stacks(StackName="order-desk-staging")["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        (folder / "staging.json").write_text(outputs["Settings"])
        # Moto leaves out this one property of the template.
        self.drain(json.loads(outputs["Settings"])["target_group"], 30)

    def push(self, *versions: str) -> None:
        """Images of these versions."""
        for version in versions:
            kind = "application/vnd.oci.image.manifest.v1+json"
            digest = f"sha256:{version:0>64}"
            manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {"digest": digest}, "layers": []})
            self.client("ecr").put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag=version)

    def drain(self, group: str, seconds: int) -> None:
        """Let the target group hold on to a task for so many seconds."""
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(seconds)}
        self.client("elbv2").modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])

    def key(self, user: str, policy: dict[str, Any]) -> dict[str, str]:
        """The credentials of a new user, who may do what this policy permits."""
        iam = self.client("iam")
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="policy", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=user)["AccessKey"]
        return {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}

    def demand_credentials(self) -> None:
        """From now on moto looks who asks, and whether that is permitted."""
        self.owner = self.key("owner", EVERYTHING)
        self.scheduler.logs = self.client("logs")
        httpx.post(f"{self.moto}/moto-api/reset-auth", content="0").raise_for_status()


def begin(aws: Aws) -> None:
    """Two images, and nothing of an earlier test."""
    httpx.post(f"{aws.moto}/moto-api/reset-auth", content="inf").raise_for_status()
    httpx.post(f"{aws.moto}/moto-api/reset").raise_for_status()
    # A task that moto starts has ended when somebody looks.
    moves = {"model_name": "ecs::task", "transition": {"progression": "immediate"}}
    httpx.post(f"{aws.moto}/moto-api/state-manager/set-transition", json=moves).raise_for_status()
    aws.scheduler.reset()
    aws.parameters.dead, aws.parameters.meet = "", None
    aws.client("ecr").create_repository(repositoryName=REPOSITORY)
    aws.push("1a2b3c4", "5d6e7f8")


@contextmanager
def account(folder: Path) -> Iterator[Aws]:
    """Moto's server as a process of its own, and the front before it."""
    scheduler, parameters = Scheduler(), Parameters()
    with front(scheduler, parameters) as server, (folder / "moto.log").open("w") as log:
        command = [tool("moto_server"), "-H", "127.0.0.1", "-p", str(server.behind)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            aws = Aws(
                f"http://127.0.0.1:{server.server_port}", f"http://127.0.0.1:{server.behind}", scheduler, parameters
            )
            scheduler.logs = aws.client("logs")
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    httpx.get(f"{aws.moto}/moto-api/data.json").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, (folder / "moto.log").read_text()
                    assert time.monotonic() < deadline, "expected moto to listen, got: nothing"
                    time.sleep(0.1)
            yield aws
        finally:
            process.terminate()
            process.wait()


class Front(ThreadingHTTPServer):
    """Where the deploy asks; `behind` is the port of moto."""

    behind: int

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as it is declared
        """A deploy that is killed hangs up, which is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def front(scheduler: Scheduler, parameters: Parameters) -> Iterator[Front]:
    """A proxy that lets both have a word in what passes."""
    one_at_a_time, behind = Lock(), httpx.Client(timeout=30, trust_env=False)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers.get("X-Amz-Target", "")
            # The older ones of AWS's services have the operation's name in a form.
            operation = target.rpartition(".")[2] or parse_qs(body.decode())["Action"][0]
            with one_at_a_time:
                url = f"http://127.0.0.1:{self.server.behind}{self.path}"  # type: ignore[attr-defined]
                said = behind.post(url, content=body, headers=dict(self.headers))
                status, content = said.status_code, said.content
                scheduler.calls.append(operation)
                if target.startswith("AmazonEC2ContainerService"):
                    content = scheduler.answer(operation, json.loads(body), status, content)
            if operation == "GetParameter" and status == 200:
                content = parameters.answer(json.loads(body), content)
            if denied := target and re.search(rb"<Code>(.*)</Code>\s*<Message>(.*)</Message>", content):
                # AWS says so in the words of the service, where moto has XML for all of them.
                name = denied[1].decode().replace("AccessDenied", "AccessDeniedException")
                content = json.dumps({"__type": name, "message": denied[2].decode()}).encode()
            self.send_response(status)
            self.send_header("Content-Type", said.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with Front(("127.0.0.1", 0), Proxy) as server, ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as free:
        server.daemon_threads = True
        server.behind = free.server_port
        free.server_close()
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
