"""A front for a server: one address whose target changes, as a name does at a fail-over, with TLS where wanted."""

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

from local.broker import HOST
from tests.support.ports import free_port


class Front:
    """Passes connections on to `target`, a port of `host`."""

    def __init__(
        self, target: int, tls: ssl.SSLContext | None = None, *, host: str = HOST, port: int | None = None
    ) -> None:
        self.target, self.port, self._host = target, port or free_port(), host
        # How often a client said something; a statement or a command is said at once.
        self.requests = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._gone = False
        self._plug: list[socket.socket] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def switch(self, target: int) -> None:
        """Cut what is open, and let what comes next reach another server."""
        self.target = target
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(5)

    def lose(self) -> None:
        """Let what is open go on to nobody, and tell neither end; what comes next reaches the server."""
        self._lost |= self._open

    def vanish(self) -> None:
        """Be as a server behind a network that lost its way: nobody is answered, and nobody is told."""
        self._gone = True
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        listening = socket.create_server((HOST, self.port), backlog=0)
        # One connection that nobody accepts fills the queue; whoever comes next hears nothing at all.
        self._plug = [listening, socket.create_connection((HOST, self.port))]

    def appear(self) -> None:
        """Be there again; what was said meanwhile is lost, and its connections are cut."""
        for end in self._plug:
            end.close()
        self._plug, self._gone = [], False
        self.switch(self.target)
        self._listen()

    def _listen(self) -> None:
        serve = asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(serve, self._loop).result(5)

    async def _close(self) -> None:
        self._server.close()

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.close()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            upstream, downstream = await asyncio.open_connection(self._host, self.target)
            self._open |= {writer, downstream}
            await asyncio.gather(self._ask(reader, downstream), self._pass(upstream, writer))
            self._open -= {writer, downstream}
        writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                self.requests += 1
                if not self._gone and writer not in self._lost:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._lost:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                if writer not in self._lost:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._lost:
            writer.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
