"""A TCP proxy that cuts, stalls or refuses connections at an agreed byte, between us and a server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Direction = Literal["up", "down"]  # to the server, to us
_CHUNK_BYTES = 1 << 14
_UNAVAILABLE = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class Fault:
    """What happens, and when: at byte `at` in a direction, counted over all connections.

    `kind`: cut (both sides are reset), stall (for `seconds`), refuse (HTTP 503). `word` instead of a
    place: at the `at`-th chunk to the server that holds these bytes, either before the server gets it
    or, with `answered`, when it has answered and before we learn that. `down`: so many connections
    after that are cut at once, too.
    """

    kind: Literal["cut", "stall", "refuse"] = "cut"
    direction: Direction = "up"
    at: int = 0
    word: bytes = b""
    answered: bool = False
    down: int = 0
    seconds: float = 0.5
    fired: bool = False


@dataclass
class Proxy:
    """Listens on a free port of this machine while in its `with` block; `target`: port or socket."""

    target: int | Path
    port: int = 0
    sent: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    fault: Fault | None = None
    _words: int = 0
    _down: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def arm(self, fault: Fault | None) -> None:
        """Count from nought, and let this happen once."""
        self.sent = {"up": 0, "down": 0}
        self._words = self._down = 0
        self.fault = fault

    def __enter__(self) -> Proxy:
        ready = threading.Event()

        async def start() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        def work() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(start())
            self._loop.run_forever()

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        assert ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        def stop() -> None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.call_later(0.05, self._loop.stop)

        self._loop.call_soon_threadsafe(stop)
        self._thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down > 0:
            self._down -= 1
            writer.transport.abort()
            return
        try:
            if isinstance(self.target, Path):
                there = await asyncio.open_unix_connection(str(self.target))
            else:
                there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, there[1])
        after_word = asyncio.Event()
        pumps = [
            asyncio.ensure_future(self._pump("up", reader, there[1], ends, after_word)),
            asyncio.ensure_future(self._pump("down", there[0], writer, ends, after_word)),
        ]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(pumps)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...], after_word: asyncio.Event,
    ) -> None:  # fmt: skip
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(_CHUNK_BYTES):
                fault = self.fault
                if fault and not fault.fired:
                    if direction == "down" and after_word.is_set():
                        self._fire(fault, ends)
                        return
                    if await self._meet(fault, direction, data, writer, ends, after_word):
                        return
                self.sent[direction] += len(data)
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()

    async def _meet(
        self, fault: Fault, direction: Direction, data: bytes, writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...], after_word: asyncio.Event,
    ) -> bool:  # fmt: skip
        """Let the fault happen if this is its place; whether the connection is at its end."""
        if fault.word:
            if direction != "up" or fault.word not in data:
                return False
            self._words += 1
            if self._words != fault.at:
                return False
            if fault.answered:
                after_word.set()
                return False
            self._fire(fault, ends)
            return True
        before = self.sent[direction]
        if direction != fault.direction or before + len(data) <= fault.at:
            return False
        if fault.kind == "stall":
            fault.fired = True
            await asyncio.sleep(fault.seconds)
            return False
        if fault.kind == "refuse":
            if direction != "up" or not data.split(b" ", 1)[0].isupper():
                return False  # the next request is refused
            fault.fired = True
            self._down = fault.down
            ends[0].write(_UNAVAILABLE)
            with contextlib.suppress(OSError):
                await ends[0].drain()
            for end in ends:
                end.close()
            return True
        writer.write(data[: max(fault.at - before, 0)])
        with contextlib.suppress(OSError):
            await writer.drain()
        self._fire(fault, ends)
        return True

    def _fire(self, fault: Fault, ends: tuple[asyncio.StreamWriter, ...]) -> None:
        fault.fired = True
        self._down = fault.down
        for end in ends:
            end.transport.abort()
