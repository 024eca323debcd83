"""Forward: what is appended to ``alarms.jsonl`` goes to a syslog collector.

The file is the buffer: while the collector is away nothing is held in memory, and
nothing waits. A line counts as sent once the collector's machine has taken it, so that
one may come twice, but none is left out.
"""

from __future__ import annotations

import fcntl
import logging
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec

from entropy_ids.alarms import files, formats
from entropy_ids.alarms.history import DATED, LIVE, parsed
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.errors import InputError

log = logging.getLogger(__name__)

MOST_BYTES = 8_192
"""Of one message: what rsyslog takes by default; RFC 5424 asks for 2,048."""
BATCH = 64
"""Messages between two looks at whether they have arrived."""
MOST_LINE_BYTES, HEAD_BYTES = 4 << 20, 64
TIMEOUT_S = 10.0
END_S = 1.0
"""A forwarder that hangs is left behind after this, since nothing is lost."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""A collector that is away is tried again after this, and ever twice as long."""


class Collector:
    """A syslog collector; connects when it is first sent to.

    Parameters
    ----------
    address
        ``udp://host:port``, ``tcp://host:port`` or ``unix:///path``.
    """

    def __init__(self, address: str) -> None:
        self._to = urlsplit(address)
        self._socket: socket.socket | None = None

    def send(self, messages: list[bytes]) -> None:
        """Send messages; return when the collector's machine has taken them.

        Over UDP nobody can tell; what the network refuses is noticed.

        Raises
        ------
        OSError
            When they may not have arrived: send them all again.
        """
        try:
            self._socket = self._socket or self._connect()
            if self._to.scheme == "tcp":
                _send_counted(self._socket, messages)
            else:
                _send_datagrams(self._socket, messages)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        if self._to.scheme == "unix":
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            return _connected(made, self._to.path)
        host, port = self._to.hostname or "", self._to.port
        if self._to.scheme == "tcp":
            return socket.create_connection((host, port), TIMEOUT_S)
        family, kind, proto, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM
        )[0]
        return _connected(socket.socket(family, kind, proto), place)


def _connected(made: socket.socket, place: object) -> socket.socket:
    try:
        made.settimeout(TIMEOUT_S)
        made.connect(place)  # type: ignore[arg-type]
    except OSError:
        made.close()
        raise
    return made


def _send_datagrams(made: socket.socket, messages: list[bytes]) -> None:
    for message in messages:
        made.send(message)
        _raise_pending(made)


def _send_counted(made: socket.socket, messages: list[bytes]) -> None:
    """Send by octet counting (RFC 6587), and wait until all is acknowledged."""
    _raise_closed(made)
    made.sendall(b"".join(b"%d %b" % (len(one), one) for one in messages))
    limit = time.monotonic() + TIMEOUT_S
    pause_s = 0.001
    while _unacknowledged(made):
        if time.monotonic() > limit:
            raise TimeoutError("the collector takes nothing more")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)
    _raise_pending(made)  # one that ended without having read all has reset it


def _unacknowledged(made: socket.socket) -> int:
    """Give the bytes that the other machine has not acknowledged (tcp(7), SIOCOUTQ)."""
    (number,) = struct.unpack("i", fcntl.ioctl(made, termios.TIOCOUTQ, b"\0" * 4))
    return int(number)


def _raise_pending(made: socket.socket) -> None:
    code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "the collector refused")


def _raise_closed(made: socket.socket) -> None:
    """Notice that the other side has ended the connection; what it says is not read."""
    ready = select.poll()
    ready.register(made, select.POLLIN)
    while ready.poll(0):
        if not made.recv(4096):
            raise ConnectionResetError("the collector has ended the connection")


@dataclass
class _Batch:
    """Messages of one file, and how far it is sent when they are."""

    name: str
    offset: int
    messages: list[bytes]


@dataclass(frozen=True)
class _Cursor:
    """Bytes sent of each file by its name, and what today's begins with."""

    sent: dict[str, int]
    begins: str


class Forwarder:
    """Follows the alarms of one directory, and sends each line on.

    Parameters
    ----------
    directory
        Where one sensor's ``alarms.jsonl`` is appended to, and renamed each day.
    cursor
        A file that holds how far each file is sent. Without it today's are sent, and
        not those of earlier days.
    collector
        Where to.
    payload
        A key of `entropy_ids.alarms.formats.PAYLOADS`.
    host
        This machine's name, in messages.

    Attributes
    ----------
    sent, skipped
        Lines since the start; skipped is what could not be read as an alarm.
    problem
        Why nothing can be sent at present; empty when it can.
    """

    def __init__(
        self,
        directory: Path,
        cursor: Path,
        collector: Collector,
        payload: str = "plain",
        host: str = "",
    ) -> None:
        self._directory, self._cursor, self._collector = directory, cursor, collector
        self._write: Callable[[formats.Row], str] = formats.PAYLOADS[payload]
        self._host = host or socket.gethostname()
        self.sent = self.skipped = 0
        self.problem = ""
        self._sizes: dict[str, int] = {}
        self._begins, self._begun = "", False

    def run(self, stop: threading.Event, poll_s: float = 1.0) -> None:
        """Send what comes until told to stop; meant for a thread of its own."""
        wait_s = FIRST_WAIT_S
        while not stop.is_set():
            try:
                self.step(stop)
            except OSError as err:
                self._trouble(err)
                stop.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                self.problem, wait_s = "", FIRST_WAIT_S
                stop.wait(poll_s)
        self._collector.close()

    def step(self, stop: threading.Event | None = None) -> None:
        """Send all that is there and not yet sent.

        Raises
        ------
        OSError
            When the collector is away or a file cannot be read; nothing is lost.
        """
        if not self._begun:
            self._sizes, self._begins = self._read_cursor()
            self._begun = True
            self._save()
        for batch in self._batches():
            if batch.messages:
                self._collector.send(batch.messages)
                self.sent += len(batch.messages)
            self._sizes[batch.name] = batch.offset
            self._save()
            if stop is not None and stop.is_set():
                return

    def _trouble(self, err: OSError) -> None:
        if not self.problem:
            log.warning("%s: alarms wait for the collector: %s", self._directory, err)
        self.problem = sanitize(f"alarms wait for the collector: {err}")

    def _batches(self) -> Iterator[_Batch]:
        """Give what is to be sent, the oldest file first."""
        live = self._open_live()
        try:
            for name in self._dated():
                with (self._directory / name).open("rb") as file:
                    yield from self._of(name, file)
            if live is not None:
                yield from self._of(LIVE, live)
        finally:
            if live is not None:
                live.close()

    def _open_live(self) -> BinaryIO | None:
        """Open today's file, so that it is the one of our cursor.

        When a day ends, its file gets a name with a date, under which it goes on being
        sent from where it was. A name that appears after ours was opened is seen at the
        next step: then what is open is that day's file still.
        """
        while True:
            live = self._opened(LIVE)
            fresh = [name for name in self._dated() if name not in self._sizes]
            if not fresh:
                return live
            if live is not None:
                live.close()
            sent = self._sizes.pop(LIVE, 0)
            ours = self._head(fresh[0]) == self._begins
            self._sizes |= dict.fromkeys(fresh, 0) | {fresh[0]: sent if ours else 0}
            self._save()

    def _opened(self, name: str) -> BinaryIO | None:
        try:
            return (self._directory / name).open("rb")
        except FileNotFoundError:
            return None

    def _head(self, name: str) -> str:
        """Give what a file begins with: the id of an incident, which is in no other."""
        file = self._opened(name)
        if file is None:
            return ""
        with file:
            return file.read(HEAD_BYTES).decode(errors="replace")

    def _dated(self) -> list[str]:
        return sorted(path.name for path in self._directory.glob(DATED))

    def _of(self, name: str, file: BinaryIO) -> Iterator[_Batch]:
        """Give a file's whole lines beyond what was sent, some at a time."""
        offset = self._sizes.get(name, 0)
        head = file.read(HEAD_BYTES).decode(errors="replace")
        if name == LIVE:
            if head != self._begins or file.seek(0, 2) < offset:
                if offset:
                    log.warning("%s: %s is another; sent anew", self._directory, name)
                offset = 0
            self._begins = head
        file.seek(offset)
        messages: list[bytes] = []
        for line in iter(lambda: file.readline(MOST_LINE_BYTES), b""):
            if not line.endswith(b"\n") and len(line) < MOST_LINE_BYTES:
                break  # the rest of the line is still to be written
            offset += len(line)
            messages += self._message(line, f"{name}, byte {offset}")
            if len(messages) == BATCH:
                yield _Batch(name, offset, messages)
                messages = []
        if offset != self._sizes.get(name, 0):
            yield _Batch(name, offset, messages)

    def _message(self, line: bytes, where: str) -> list[bytes]:
        """Give a line's message; none when the line is no alarm."""

        def write(row: formats.Row) -> str:
            return formats.syslog(row, self._host, self._write(row))

        try:
            return [formats.fitted(parsed(line, where), write, MOST_BYTES)]
        except (InputError, KeyError, TypeError, ValueError) as err:
            log.error("%s: not forwarded: %s", self._directory, sanitize(str(err)))
            self.skipped += 1
            return []

    def _read_cursor(self) -> tuple[dict[str, int], str]:
        """Read how far each file was sent; all but today's when nothing tells."""
        try:
            row = msgspec.json.decode(files.read(self._cursor), type=_Cursor)
            return row.sent, row.begins
        except msgspec.DecodeError:
            dated = (self._directory / name for name in self._dated())
            return {path.name: path.stat().st_size for path in dated}, ""

    def _save(self) -> None:
        """Write the cursor; after a loss of power some lines are sent again."""
        there = {LIVE, *self._dated()}
        self._sizes = {n: size for n, size in self._sizes.items() if n in there}
        data = msgspec.json.encode(_Cursor(self._sizes, self._begins))
        files.replace(self._cursor, data + b"\n", durable=False)


@contextmanager
def forwarding(forwarders: Iterable[Forwarder]) -> Iterator[None]:
    """Run forwarders meanwhile, each in a thread of its own.

    What they have not sent by the end waits in its file for the next time.
    """
    stop = threading.Event()
    threads = [
        threading.Thread(target=one.run, args=(stop,), daemon=True)
        for one in forwarders
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(END_S)
