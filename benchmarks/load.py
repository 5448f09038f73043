"""The load: so many connections that each send the same request again once it is answered, as a process of its own.

`python -m benchmarks.load '{"port": 8000, "path": "/", ...}'` prints what came of it, as JSON. It takes under 20 µs a
request, so that one core drives every contestant; tests/test_bench.py holds it against a server that does nothing.
"""

import json
import selectors
import socket
import statistics
import sys
import time

HOST = "127.0.0.1"
CONNECTIONS = 16

# Seconds without any answer after which it gives up.
PATIENCE = 10.0


class Caller:
    """One connection, which is opened again where the server closes it."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port, self._request = port, request
        self.connection = self._connect()
        self._came, self._wanted, self._began = b"", 0, 0.0

    def _connect(self) -> socket.socket:
        made = socket.create_connection((HOST, self._port), timeout=PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def ask(self) -> None:
        """Send the request."""
        self._came, self._wanted, self._began = b"", 0, time.perf_counter()
        self.connection.sendall(self._request)

    def hear(self) -> tuple[int, float, bool] | None:
        """Take what came; once the answer is whole, its status, the seconds since it was asked for, and if it ends."""
        part = self.connection.recv(65536)
        self._came += part
        if not self._wanted and (head := self._came.find(b"\r\n\r\n")) > 0:
            length = self._field(head, b"content-length:")
            self._wanted = head + 4 + (int(length) if length else 0)
        if not self._wanted or len(self._came) < self._wanted:
            return (0, time.perf_counter() - self._began, True) if not part else None
        closes = self._field(self._came.find(b"\r\n\r\n"), b"connection:").lower() == b"close"
        return int(self._came[9:12]), time.perf_counter() - self._began, closes

    def again(self) -> None:
        """Open another connection in place of the one that ended."""
        self.connection.close()
        self.connection = self._connect()

    def _field(self, head: int, name: bytes) -> bytes:
        lines = self._came[:head].lower().split(b"\r\n")
        return next((line[len(name) :].strip() for line in lines if line.startswith(name)), b"")


def request(port: int, path: str, token: str, body: str) -> bytes:
    """One POST, byte by byte."""
    data = body.encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}:{port}", f"Authorization: Bearer {token}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(data)}", "", ""]
    return "\r\n".join(lines).encode() + data


def drive(port: int, sent: bytes, seconds: float, connections: int = CONNECTIONS) -> dict[str, float]:
    """Send for so many seconds; gives requests a second, milliseconds of wait, and how many were no 202."""
    callers = [Caller(port, sent) for _ in range(connections)]
    waits: list[float] = []
    others = 0
    with selectors.DefaultSelector() as selector:
        for caller in callers:
            selector.register(caller.connection, selectors.EVENT_READ, caller)
            caller.ask()
        began = time.perf_counter()
        while (lasted := time.perf_counter() - began) < seconds:
            ready = selector.select(PATIENCE)
            if not ready:
                break
            for key, _ in ready:
                caller = key.data
                answer = caller.hear()
                if answer is None:
                    continue
                status, waited, closes = answer
                others += status != 202
                waits.append(waited)
                if closes:
                    selector.unregister(caller.connection)
                    caller.again()
                    selector.register(caller.connection, selectors.EVENT_READ, caller)
                caller.ask()
    for caller in callers:
        caller.connection.close()
    cuts = statistics.quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    accepted = len(waits) - others
    found = {"requests_per_second": accepted / lasted, "p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}
    return found | {"accepted": accepted, "refused": others}


def main() -> None:
    """Drive what the argument says."""
    wanted = json.loads(sys.argv[1])
    sent = request(wanted["port"], wanted["path"], wanted["token"], wanted["body"])
    print(json.dumps(drive(wanted["port"], sent, wanted["seconds"])))


if __name__ == "__main__":
    main()
