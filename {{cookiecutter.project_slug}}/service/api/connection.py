"""One caller's connection: uvicorn's, bounded in what a caller may send, in how slowly, and in how many there are."""

import asyncio
import secrets
from asyncio.events import TimerHandle
from typing import Any

import structlog
from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.problems import MEDIA_TYPE, RETRY_AFTER, Problem
from service.api.request import SAFE

log = structlog.get_logger()

# Bytes of a request's line and headers, each header with 32 on top; and of its path with the query, since a long one
# of percent signs takes long to decode, which is done before anything looks at it.
MAX_HEAD, MAX_URL = 16 * 1024, 4 * 1024

# Pieces of a body: one in tiny chunks is work for nobody, also where it was answered before it came.
MAX_PIECES = 5000

# Requests on a connection that may wait for the answer to the one before them.
MAX_PIPELINE = 16

# Connections beyond their number that are told so; others are cut without a word.
SPARE = 100

MALFORMED = "expected a request in HTTP/1.1, got: something else"
TOO_FINE = f"expected a body in at most {MAX_PIECES} pieces, got: more; send larger ones"
TOO_LARGE = f"expected at most {MAX_HEAD} bytes of headers, got: more"
TOO_LONG = f"expected at most {MAX_URL} bytes of path and query, got: more"
TOO_SLOW = "expected the headers within {:g} s, got: a part of them"
FULL = "every place for a connection is taken by a request under way; come again"


class TooMuch(Exception):
    """More than anyone needs: of headers, or of requests that wait for the answer to the one before them."""


class Places:
    """How many connections there may be; one that waits for a request, or for the rest of it, gives way to a newcomer.

    The oldest goes first.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: dict[Connection, None] = {}
        self.sending: dict[Connection, None] = {}

    def make(self) -> bool:
        """Close one that asks for nothing; gives whether there was one."""
        for connection in (*self.waiting, *self.sending):
            if not connection.transport.get_write_buffer_size():
                self.forget(connection)
                connection.transport.abort()
                return True
        return False

    def forget(self, connection: "Connection") -> None:
        """It has a request under way, or is no more."""
        self.waiting.pop(connection, None)
        self.sending.pop(connection, None)


class Connection(HttpToolsProtocol):
    """Refuses in the words of this API what uvicorn would refuse in plain text, or accept without end."""

    # Seconds: for a request's line and headers to arrive; for a caller to read on in its answer; and of patience, at
    # SIGTERM for a request that is on its way, after a refusal for the caller to read why.
    HEAD_SECONDS = 10.0
    READ_SECONDS = 30.0
    LINGER = 2.0

    def __init__(self, *args: Any, places: Places, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places
        self._refused = self._leaving = self._in_head = False
        # Bytes of this head that the parser understood, bytes that it was given since, and pieces of this body.
        self._head = self._fed = self._pieces = 0
        self._head_timer: TimerHandle | None = None
        self._read_timer: TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._places.number + SPARE:
            transport.abort()
            return
        if len(self.connections) > self._places.number and not self._places.make():
            self._refuse(Problem(503, FULL, headers={"Retry-After": str(RETRY_AFTER)}))
            return
        self._places.waiting[self] = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.forget(self)
        for timer in (self._head_timer, self._read_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        if self._answering is not None:
            # uvicorn tells only the last of those that wait, and this one would write into a closed connection.
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self in self._places.waiting and self._head_timer is None:
            self._expect_head()
        # What is no whole header yet, or trailer, waits in the parser, which copies it with whatever follows.
        self._fed += len(data)
        super().data_received(data)
        if self._fed > MAX_HEAD:
            self._refuse(Problem(431, TOO_LARGE))

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINE:
            raise TooMuch
        super().on_message_begin()
        self._in_head, self._head, self._pieces = True, 0, 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL:
            raise TooMuch
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        # As HTTP/2 counts (RFC 9113, 6.5.2): thousands of empty ones cost memory, too.
        self._count(len(name) + len(value) + 32)
        # Trailers come after the body, when the request's headers were judged already.
        if self._in_head:
            super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise TooMuch

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # What follows it would be read as a request of its own (RFC 9110, 7.8): this answer is the last.
            self.cycle.keep_alive, self._refused = False, True
        self._in_head = False
        self._places.forget(self)
        self._places.sending[self] = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._fed, self._pieces = 0, self._pieces + 1
        if self._pieces > MAX_PIECES:
            raise TooMuch
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fed = 0
        super().on_message_complete()
        # Where the answer came first, it waits for the next request already.
        if not self.cycle.response_complete:
            self._places.forget(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._places.waiting[self] = None
        self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, and what it was told to refuse."""
        if self._head > MAX_HEAD:
            self._refuse(Problem(431, TOO_LARGE))
        elif self._in_head and len(self.url) > MAX_URL:
            self._refuse(Problem(414, TOO_LONG))
        else:
            self._refuse(Problem(400, TOO_FINE if self._pieces > MAX_PIECES else MALFORMED))

    def shutdown(self) -> None:
        """Finish what was asked for, and tell the caller with the answer that there will be no other."""
        self._leaving = True
        # To one that waits a request may be on its way: closing now would cut it.
        self.loop.call_later(self.LINGER if self in self._places.waiting else 0, super().shutdown)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.HEAD_SECONDS, self._miss_head)

    def _miss_head(self) -> None:
        if self._in_head:
            self._refuse(Problem(408, TOO_SLOW.format(self.HEAD_SECONDS)))
        else:
            # Nothing was asked, or it is the rest of a body whose request was refused before it was read.
            self.transport.close()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left and self._read_timer is None:
            self._read_timer = self.loop.call_later(self.READ_SECONDS, self._look_at_reader, left)

    def _look_at_reader(self, before: int) -> None:
        self._read_timer = None
        if self.transport.get_write_buffer_size() >= before:
            log.info("connection cut, its caller does not read", peer=":".join(map(str, self.client or ())))
            self.transport.abort()
        else:
            self._watch_reader()

    def _refuse(self, problem: Problem) -> None:
        """Say why, and close once the caller had time to read it."""
        if self.transport.is_closing() or self._refused:
            return
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            if self.pipeline or self.cycle.response_started or not self.cycle.more_body:
                # The answer to what was asked before goes first, and is the last.
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # A request that was answered already gets no second one, which would be taken for the next one's.
        if self.cycle is None or not self.cycle.response_complete or not self.cycle.more_body:
            self._say(problem)
        # Closing at once, with bytes unread, would reset the connection and take the answer back.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(self.LINGER, self.transport.abort)

    def _say(self, problem: Problem) -> None:
        request_id = secrets.token_hex(16)
        headers = {**SAFE, **problem.headers, "X-Request-Id": request_id, "Connection": "close"}
        answer = JSONResponse({**problem.body(), "request_id": request_id}, problem.status, headers, MEDIA_TYPE)
        lines = [*self.server_state.default_headers, *answer.raw_headers]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
        self.transport.write(STATUS_LINE[problem.status] + head + b"\r\n" + bytes(answer.body))
        log.info("request refused", status=problem.status, request_id=request_id)
