"""The proxy before the API: which of the API's containers it asks, and when none of its requests is under way."""

import io
import re
import tarfile
import time
from pathlib import Path

from deploy.compose.host import LOOK_SECONDS
from deploy.compose.project import Project
from deploy.platform import Failed

CONF = Path(__file__).with_name("nginx.conf")
FOLDER = "/etc/nginx/service"


class Proxy:
    """nginx in a container that a deploy makes once, and then only tells of changes."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def point(self, backend: str, version: str, deadline: float) -> None:
        """Ask `backend` alone from now on, "api" for all; returns when no request to another is under way.

        Raises:
            Failed: nginx does not take it; it goes on as before.
        """
        self._project.compose(version, "create", "--no-recreate", "proxy", seconds=deadline - time.monotonic())
        (proxy,) = self._project.containers("proxy")
        wanted = {"nginx.conf": CONF.read_bytes(), "backend.conf": f"set $backend {backend};\n".encode()}
        before = self._read(proxy.id)
        if not proxy.running:
            self._write(proxy.id, wanted)
            self._project.host.docker("start", proxy.id)
            self._demand_workers(proxy.id, deadline)
            return
        if {name: before.get(name) for name in wanted} == wanted:
            return
        self._write(proxy.id, wanted)
        try:
            self._project.host.docker(
                "exec", proxy.id, "nginx", "-t", "-q", "-e", "stderr", "-c", f"{FOLDER}/nginx.conf"
            )
        except Failed:
            self._write(proxy.id, before)
            raise
        old = self._workers(proxy.id)
        self._project.host.docker("kill", "--signal", "HUP", proxy.id)
        while old & (left := self._workers(proxy.id)) or not left:
            if time.monotonic() > deadline:
                raise Failed(f"expected nginx to let go of its old workers, got: {len(old & left)} left; ask its log")
            time.sleep(LOOK_SECONDS)

    def _demand_workers(self, container: str, deadline: float) -> None:
        while not self._workers(container):
            if time.monotonic() > deadline:
                raise Failed("expected nginx to start, got: no worker of it; `docker logs` of the proxy says why")
            time.sleep(LOOK_SECONDS)

    def _workers(self, container: str) -> set[str]:
        """The process ids of its workers, those included that finish what they have."""
        try:
            said = self._project.host.docker("top", container, "-eo", "pid,args").decode(errors="replace")
        except Failed:
            return set()
        return set(re.findall(r"^\s*(\d+)\s+nginx: worker process", said, re.MULTILINE))

    def _read(self, container: str) -> dict[str, bytes]:
        with tarfile.open(fileobj=io.BytesIO(self._project.host.docker("cp", f"{container}:{FOLDER}/.", "-"))) as tar:
            files = {Path(member.name).name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}

    def _write(self, container: str, files: dict[str, bytes]) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
        self._project.host.docker("cp", "-", f"{container}:{FOLDER}", stdin=packed.getvalue())
