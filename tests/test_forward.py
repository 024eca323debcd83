"""Forwarding: over real sockets every line arrives, whatever goes away meanwhile."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import make
import pytest
import rfc5424
from make import HOSTILE

from entropy_ids.alarms import forward
from entropy_ids.alarms.forward import Collector, Forwarder
from entropy_ids.alarms.sinks import alarm_line, sanitize

DAY = "alarms.2024-04-21.jsonl"
NEXT = "alarms.2024-04-22.jsonl"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def write(out: Path, *ids: str, name: str = "alarms.jsonl") -> None:
    with (out / name).open("a") as file:
        file.writelines(alarm_line(make.alarm(id=one)) for one in ids)


def ids(data: list[bytes]) -> list[str]:
    return [rfc5424.read(one).params["id"] for one in data]


COLLECTORS: list[Collector] = []


def forwarder(out: Path, address: str, payload: str = "plain") -> Forwarder:
    COLLECTORS.append(Collector(address))
    return Forwarder(out, out.parent / "cursor", COLLECTORS[-1], payload, "host")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while COLLECTORS:
        COLLECTORS.pop().close()


class Datagrams:
    """A collector of datagrams."""

    def __init__(self, family: socket.AddressFamily, place: object) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(place)
        self.socket.settimeout(5)

    def take(self, number: int) -> list[bytes]:
        """Give so many messages, and see that there is no other."""
        found = [self.socket.recv(1 << 16) for _ in range(number)]
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1)
        self.socket.settimeout(5)
        return found

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def udp() -> Iterator[Datagrams]:
    with closing(Datagrams(socket.AF_INET, ("127.0.0.1", 0))) as made:
        yield made


def address(udp: Datagrams) -> str:
    return f"udp://127.0.0.1:{udp.socket.getsockname()[1]}"


class Stream:
    """A collector over TCP; what it took is in ``messages``, in order of arrival."""

    def __init__(self, port: int = 0, most: int | None = None) -> None:
        self.messages: list[bytes] = []
        self._most = most
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self._server.settimeout(0.02)
        while not self._stop.is_set():
            try:
                made, _ = self._server.accept()
            except TimeoutError:
                continue
            with made:
                self._read(made)

    def _read(self, made: socket.socket) -> None:
        made.settimeout(0.02)
        left, taken = b"", 0
        while not self._stop.is_set():
            try:
                data = made.recv(1 << 16)
            except TimeoutError:
                continue
            whole, left = rfc5424.counted(left + data)
            self.messages += whole[: None if self._most is None else self._most - taken]
            taken += len(whole)
            if not data or (self._most is not None and taken >= self._most):
                return

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()


def until(done: Callable[[], bool], seconds: float = 8.0) -> None:
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.005)


def insist(made: Forwarder) -> None:
    """Send all, as often as it takes: a collector that went is noticed only then."""
    for _ in range(9):
        try:
            return made.step()
        except OSError:
            continue
    raise AssertionError(made.problem)


# ---------------------------------------------------------------------------- arriving


def test_every_line_arrives_once_and_in_order_over_udp(out, udp):
    made = forwarder(out, address(udp))
    write(out, "1", "2")
    made.step()
    write(out, "3")
    made.step()
    made.step()
    assert ids(udp.take(3)) == ["1", "2", "3"]
    assert (made.sent, made.skipped) == (3, 0)


def test_every_line_arrives_over_a_unix_socket(out, tmp_path):
    place = str(tmp_path / "log")
    with closing(Datagrams(socket.AF_UNIX, place)) as log:
        made = forwarder(out, f"unix://{place}")
        write(out, "1", "2")
        made.step()
        assert ids(log.take(2)) == ["1", "2"]


def test_every_line_arrives_counted_over_tcp(out):
    names = [str(n) for n in range(3 * forward.BATCH + 7)]
    write(out, *names)
    with closing(Stream()) as server:
        forwarder(out, f"tcp://127.0.0.1:{server.port}").step()
        until(lambda: len(server.messages) == len(names))
    assert ids(server.messages) == names


@pytest.mark.parametrize("payload", ["json", "ecs", "cef", "notice"])
def test_the_payload_that_was_asked_for_is_the_message(out, udp, payload):
    write(out, "1")
    forwarder(out, address(udp), payload).step()
    [message] = map(rfc5424.read, udp.take(1))
    assert (message.host, message.time) == ("host", "2024-04-21T07:01:00Z")
    if payload == "cef":
        assert message.text.startswith("CEF:0|entropy-ids|")
    else:
        assert isinstance(json.loads(message.text), dict)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_text_arrives_as_one_message(out, udp, text):
    found = make.contributor(text, feature="service")
    alarm = make.alarm(sensor=text, summary=text, contributors=(found,) * 5)
    (out / "alarms.jsonl").write_text(alarm_line(alarm) * 2)
    forwarder(out, address(udp), "json").step()
    for message in map(rfc5424.read, udp.take(2)):
        assert message.params["sensor"] == sanitize(text)
        assert json.loads(message.text)["summary"] == sanitize(text)


def test_a_line_that_is_no_alarm_is_skipped_and_counted(out, udp, caplog):
    write(out, "1")
    with (out / "alarms.jsonl").open("ab") as file:
        file.write(b'\xff\n[]\n{"id": "2"}\n{"a": ' + b"[" * 9_000 + b"\n\n")
        file.write(b'{"id": "\\ud800"}\n')
    write(out, "3")
    made = forwarder(out, address(udp))
    made.step()
    assert ids(udp.take(2)) == ["1", "3"]
    assert (made.sent, made.skipped) == (2, 6)
    assert "not forwarded" in caplog.text


def test_a_line_beyond_all_measure_is_skipped_and_the_next_arrives(
    out, udp, monkeypatch
):
    monkeypatch.setattr(forward, "MOST_LINE_BYTES", 4_096)
    (out / "alarms.jsonl").write_text("x" * 10_000 + "\n")
    write(out, "1")
    forwarder(out, address(udp)).step()
    assert ids(udp.take(1)) == ["1"]


def test_half_a_line_waits_for_its_other_half(out, udp):
    made = forwarder(out, address(udp))
    line = alarm_line(make.alarm(id="1"))
    (out / "alarms.jsonl").write_text(line[:50])
    made.step()
    assert made.sent == 0
    (out / "alarms.jsonl").write_text(line)
    made.step()
    assert ids(udp.take(1)) == ["1"]


# ------------------------------------------------------------------ the end of a day


def test_after_a_day_ended_the_rest_of_it_comes_first(out, udp):
    made = forwarder(out, address(udp))
    write(out, "1")
    made.step()
    write(out, "2")
    (out / "alarms.jsonl").rename(out / DAY)
    write(out, "3")
    made.step()
    assert ids(udp.take(3)) == ["1", "2", "3"]


def test_days_that_end_while_nobody_forwards_are_all_sent(out, udp):
    made = forwarder(out, address(udp))
    write(out, "1")
    made.step()
    write(out, "2")
    (out / "alarms.jsonl").rename(out / DAY)
    write(out, "3", name=NEXT)
    write(out, "4")
    forwarder(out, address(udp)).step()
    assert ids(udp.take(4)) == ["1", "2", "3", "4"]


def test_a_day_that_ends_between_looking_and_opening_is_not_mistaken(
    out, udp, monkeypatch
):
    made = forwarder(out, address(udp))
    write(out, "1")
    made.step()
    write(out, "2")
    opened = made._opened

    def ends(name: str):
        monkeypatch.setattr(made, "_opened", opened)
        file = opened(name)
        (out / "alarms.jsonl").rename(out / DAY)
        write(out, "3", "4", "5")
        return file

    monkeypatch.setattr(made, "_opened", ends)
    made.step()
    made.step()
    assert ids(udp.take(5)) == ["1", "2", "3", "4", "5"]


def test_a_day_removed_before_it_was_sent_costs_no_line_of_the_next(out, udp):
    made = forwarder(out, address(udp))
    write(out, "1", "2", "3")
    made.step()
    (out / "alarms.jsonl").unlink()
    write(out, "4", name=NEXT)
    write(out, "5")
    made.step()
    assert ids(udp.take(5)) == ["1", "2", "3", "4", "5"]


def test_lines_added_to_an_earlier_day_are_sent(out, udp):
    write(out, "1", name=DAY)
    made = forwarder(out, address(udp))
    made.step()
    write(out, "2", name=DAY)
    made.step()
    assert ids(udp.take(1)) == ["2"]


# ------------------------------------------------------------- the place that is kept


def test_without_a_cursor_today_is_sent_and_not_the_days_before(out, udp):
    write(out, "1", name=DAY)
    write(out, "2")
    forwarder(out, address(udp)).step()
    assert ids(udp.take(1)) == ["2"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"sent": {"a": "b"}}', b"\xff"])
def test_a_damaged_cursor_is_as_none(out, udp, data):
    write(out, "1", name=DAY)
    write(out, "2")
    (out.parent / "cursor").write_bytes(data)
    forwarder(out, address(udp)).step()
    assert ids(udp.take(1)) == ["2"]


def test_another_file_of_the_same_name_is_sent_from_its_beginning(out, udp, caplog):
    made = forwarder(out, address(udp))
    write(out, "1")
    made.step()
    (out / "alarms.jsonl").unlink()
    write(out, "2", "3", "4")
    made.step()
    assert ids(udp.take(4)) == ["1", "2", "3", "4"]
    assert "is another" in caplog.text


@pytest.mark.parametrize("seed", range(5))
def test_random_days_restarts_and_absences_lose_no_line_and_keep_the_order(out, seed):
    rng, written, taken = random.Random(seed), 0, []
    server = Stream()
    where = f"tcp://127.0.0.1:{server.port}"
    made = forwarder(out, where)
    insist(made)

    def arrived() -> bool:
        return len(set(ids(taken + server.messages))) == written

    for turn in range(40):
        act = rng.choice(["write", "write", "step", "step", "day", "restart", "away"])
        if act == "write":
            write(out, str(written), str(written + 1))
            written += 2
        elif act == "day" and (out / "alarms.jsonl").exists():
            (out / "alarms.jsonl").rename(out / f"alarms.2024-05-{turn + 1:02}.jsonl")
        elif act == "restart":
            COLLECTORS.pop().close()
            made = forwarder(out, where)
        elif act == "away":
            server.close()
            taken += server.messages
            server = Stream(server.port)
        elif act == "step":
            insist(made)
            until(arrived)
    insist(made)
    until(arrived)
    server.close()
    order = list(dict.fromkeys(ids(taken + server.messages)))
    assert order == [str(n) for n in range(written)]


# ---------------------------------------------------------------- a collector that goes


def test_while_the_collector_is_away_lines_wait_in_the_file(out, monkeypatch):
    monkeypatch.setattr(forward, "FIRST_WAIT_S", 0.02)
    first = Stream()
    first.close()
    made = forwarder(out, f"tcp://127.0.0.1:{first.port}")
    with forward.forwarding([made]):
        write(out, "1", "2")
        until(lambda: made.problem != "")
        assert "wait for the collector" in made.problem
        with closing(Stream(first.port)) as server:
            until(lambda: ids(server.messages) == ["1", "2"])
            until(lambda: made.problem == "")


def test_a_collector_that_hung_up_since_the_last_line_gets_the_next(out):
    with closing(Stream(most=1)) as server:
        made = forwarder(out, f"tcp://127.0.0.1:{server.port}")
        for one in ("1", "2", "3"):
            write(out, one)
            insist(made)
            until(lambda one=one: one in ids(server.messages))


def test_nobody_who_listens_is_noticed_even_over_udp(out, udp):
    where = address(udp)
    port = udp.socket.getsockname()[1]
    udp.close()
    write(out, "1")
    made = forwarder(out, where)
    with pytest.raises(OSError, match="refused"):
        made.step()
    with closing(Datagrams(socket.AF_INET, ("127.0.0.1", port))) as back:
        made.step()
        assert ids(back.take(1)) == ["1"]


def test_a_log_socket_made_anew_gets_what_waited(out, tmp_path):
    place = tmp_path / "log"
    made = forwarder(out, f"unix://{place}")
    write(out, "1")
    with pytest.raises(FileNotFoundError):
        made.step()
    for one in ("2", "3"):
        write(out, one)
        with closing(Datagrams(socket.AF_UNIX, str(place))) as log:
            insist(made)
            log.take(2 if one == "2" else 1)
        place.unlink()


def test_what_a_deaf_collector_did_not_take_goes_to_the_next(out, monkeypatch):
    monkeypatch.setattr(forward, "TIMEOUT_S", 0.2)
    names = [str(n) for n in range(4 * forward.BATCH)]
    write(out, *names)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        made = forwarder(out, f"tcp://127.0.0.1:{port}", "json")
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            made.step()
        assert time.monotonic() - begun < 5
    taken = made.sent
    with closing(Stream(port)) as server:
        insist(made)
        until(lambda: ids(server.messages[-1:]) == names[-1:])
    assert ids(server.messages) == names[taken:]


def test_a_collector_that_reset_the_connection_is_connected_to_anew():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        collector = Collector(f"tcp://127.0.0.1:{port}")
        COLLECTORS.append(collector)
        collector.send([b"first"])
        taken, _ = server.accept()
        taken.close()  # with "first" unread: the connection is reset
        with pytest.raises(ConnectionError):
            collector.send([b"second"])
        collector.send([b"second"])
        taken, _ = server.accept()
        with taken:
            assert taken.recv(100) == b"6 second"
