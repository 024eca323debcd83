"""Which files are conn logs, each once, in the order of their rows."""

import os
import signal
from contextlib import contextmanager

import pytest
from zeek import T0, conn, header, json_rows, tsv, write, write_conn

from entropy_ids.collector import find_logs
from entropy_ids.collector.archive import is_conn_name, stream_of
from entropy_ids.errors import InputError

SUPERVISED = "conn__2026-11-22-10-00-00__2026-11-22-11-00-00__"
STREAMS = {
    "conn.log": "",
    "conn.log.gz": "",
    "conn.log.zst": "",
    "conn.log.labeled": "",
    "conn.log.labeled.gz": "",
    "conn.2026-11-22-10-00-00.log": "",
    "conn.2026-11-22-10-00-00.log.gz": "",
    "conn-26-11-22_10.00.00.log": "",
    "conn.26-11-22_10.00.00-26-11-22_11.00.00.log.gz": "",
    "conn.10:00:00-11:00:00.log.gz": "",
    "conn.23:00:00-00:00:00.log.zst": "",
    "conn.10.00.00-11.00.00.log.gz": "",
    "conn.10:00:00-11:00:00-logger-1.log.gz": "logger-1",
    "conn.10:00:00-11:00:00-eu.logger_2.log": "eu.logger_2",
    f"{SUPERVISED}.log": "",
    f"{SUPERVISED}log_suffix=logger-1__.log": "logger-1",
    f"{SUPERVISED}log_suffix=logger-1__.log.gz": "logger-1",
    f"{SUPERVISED}log_suffix=logger_2__.log": "logger_2",
    f"{SUPERVISED}log_suffix=logger-1,pid=4711__.log": "logger-1",
    f"{SUPERVISED}pid=4711,log_suffix=logger-1__.log": "logger-1",
    f"{SUPERVISED}[log_suffix=logger-1,pid=4711__].log": "logger-1",
    f"{SUPERVISED}pid=4711__.log": "",
}
OTHERS = """
    conn conn.gz conn.log.1 conn.log.tmp conn.log.gz.part conn.log~ conn.log.bz2
    conn-summary.log conn-summary.10:00:00-11:00:00.log.gz conn_long.log conn-noise.log
    open_conn.log open_conn.10:00:00-11:00:00.log.gz known_conn.log xconn.log dns.log
    .conn.log .shadow.conn.log .rotated.conn .tmp.conn.10:00:00-11:00:00.log.gz
    conn.csv CONN.LOG conn.10:00:00.log conn.stats.log
""".split()


@contextmanager
def at_most(seconds):
    """Interrupt what hangs."""

    def stop(*_):
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def names(logs, folder):
    return [str(log.path.relative_to(folder)) for log in logs]


@pytest.mark.parametrize("name", STREAMS)
def test_every_way_that_zeek_names_a_conn_log_is_known(name):
    assert is_conn_name(name)


@pytest.mark.parametrize(("name", "stream"), STREAMS.items())
def test_the_name_tells_the_logger(name, stream):
    assert stream_of(name) == stream


@pytest.mark.parametrize("name", [*OTHERS, "conn.log\n", "conn.log/x"])
def test_other_names_are_no_conn_logs(name):
    assert not is_conn_name(name)
    assert stream_of(name) == ""


def test_a_directory_gives_its_conn_logs_and_nothing_else(tmp_path):
    for name in [*STREAMS, *OTHERS]:
        write_conn(tmp_path / "2026-11-22" / name, [conn()])
    found = {log.path.name for log in find_logs([tmp_path])}
    copies = {name + suffix for name in STREAMS for suffix in (".gz", ".zst")}
    assert found == set(STREAMS) - copies


def test_a_log_carries_its_logger_its_size_and_its_time(tmp_path):
    path = tmp_path / "conn.10:00:00-11:00:00-logger-1.log"
    write_conn(path, [conn(1, duration=1.0), conn(2, duration=None), conn(3)])
    (log,) = find_logs([path])
    assert (log.path, log.stream) == (path, "logger-1")
    assert log.bytes == path.stat().st_size
    assert log.around_us == (T0 + 2) * 10**6 + 250_000


@pytest.mark.parametrize("packed", ["conn.log.gz", "conn.log.zst"])
def test_a_plain_log_and_its_packed_copy_are_read_once(tmp_path, packed):
    write_conn(tmp_path / "conn.log", [conn()])
    write_conn(tmp_path / packed, [conn()])
    assert names(find_logs([tmp_path]), tmp_path) == ["conn.log"]
    both = [tmp_path / "conn.log", tmp_path / packed]
    assert names(find_logs(both), tmp_path) == ["conn.log"]
    assert names(find_logs(both[::-1]), tmp_path) == ["conn.log"]


def test_a_packed_copy_that_is_still_being_written_does_no_harm(tmp_path):
    write_conn(tmp_path / "conn.log", [conn()])
    (tmp_path / "conn.log.gz").write_bytes(b"\x1f\x8b\x08")
    assert names(find_logs([tmp_path]), tmp_path) == ["conn.log"]


def test_logs_of_one_name_in_two_folders_are_two(tmp_path):
    for day in ("2026-11-21", "2026-11-22"):
        write_conn(tmp_path / day / "conn.10:00:00-11:00:00.log.gz", [conn()])
    assert len(find_logs([tmp_path])) == 2


def test_a_file_by_two_paths_is_read_once(tmp_path, monkeypatch):
    path = write_conn(tmp_path / "spool" / "conn.log", [conn()])
    (tmp_path / "current").symlink_to(tmp_path / "spool")
    (tmp_path / "conn.log").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    sources = [
        path,
        str(path),
        "spool/conn.log",
        tmp_path,
        "current",
        "conn.log",
        "spool/../*/conn.log",
    ]
    assert len(find_logs(sources)) == 1


def test_a_linked_directory_is_searched(tmp_path):
    write_conn(tmp_path / "spool" / "conn.log", [conn()])
    (tmp_path / "current").symlink_to(tmp_path / "spool")
    assert names(find_logs([tmp_path / "current"]), tmp_path) == ["current/conn.log"]


def test_logs_come_in_the_order_of_their_rows_and_not_of_their_names(tmp_path):
    numbers = {"conn.03:00:00-04:00:00.log": 1, "a/conn.log": 2, "conn.log": 3}
    numbers |= {"conn.01:00:00-02:00:00.log.gz": 4, "2020/conn.log": 5}
    for name, number in numbers.items():
        write_conn(tmp_path / name, [conn(5000 * number + n) for n in range(3)])
    assert names(find_logs([tmp_path]), tmp_path) == list(numbers)


def test_what_a_stopping_zeek_left_comes_after_what_it_rotated_before(tmp_path):
    rotated = [conn(n) for n in range(100, 103)]
    long_open = [conn(4, duration=50.0), conn(5, duration=50.0)]
    write_conn(tmp_path / "conn.03:00:00-04:00:00.log.gz", rotated)
    write_conn(tmp_path / "conn.log", long_open)
    found = names(find_logs([tmp_path]), tmp_path)
    assert found == ["conn.03:00:00-04:00:00.log.gz", "conn.log"]


def test_old_rows_at_the_start_of_a_log_do_not_misplace_it(tmp_path):
    write_conn(tmp_path / "conn.2026-11-22-10-00-00.log", [conn(n) for n in range(9)])
    late = [conn(-5000), conn(-4000), *(conn(n) for n in range(100, 110))]
    write_conn(tmp_path / "conn.2026-11-22-09-00-00.log", late)
    first, second = find_logs([tmp_path])
    assert (first.path.name[16:18], second.path.name[16:18]) == ("10", "09")


def test_logs_are_ordered_by_the_ends_of_connections(tmp_path):
    write_conn(tmp_path / "conn.2026-11-22-10-00-00.log", [conn(1, duration=900.0)])
    write_conn(tmp_path / "conn.2026-11-22-11-00-00.log", [conn(2, duration=0.0)])
    assert [log.path.name[16:18] for log in find_logs([tmp_path])] == ["11", "10"]


def test_a_log_without_rows_comes_last_and_has_no_time(tmp_path):
    write(tmp_path / "conn.log", header())
    write(tmp_path / "conn.2026-11-22-10-00-00.log", b"")
    write_conn(tmp_path / "x" / "conn.log", [conn()])
    times = [log.around_us is None for log in find_logs([tmp_path])]
    assert times == [False, True, True]


def test_a_glob_gives_the_conn_logs_that_it_matches(tmp_path):
    for name in ("21/conn.log", "22/conn.log", "22/conn-summary.log", "30/conn.log"):
        write_conn(tmp_path / name, [conn(int(name[:2]))])
    found = names(find_logs([f"{tmp_path}/2*/conn*"]), tmp_path)
    assert found == ["21/conn.log", "22/conn.log"]
    assert len(find_logs([f"{tmp_path}/**/conn.log"])) == 3
    assert len(find_logs([f"{tmp_path}/2[12]"])) == 2


def test_a_path_that_looks_like_a_glob_is_taken_as_it_is(tmp_path):
    write_conn(tmp_path / "site [1]" / "conn.log", [conn()])
    assert len(find_logs([tmp_path / "site [1]"])) == 1
    assert len(find_logs([tmp_path / "site [1]" / "conn.log"])) == 1


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path):
    path = write(tmp_path / "flows.json", json_rows([conn()]))
    assert names(find_logs([path]), tmp_path) == ["flows.json"]


def test_directories_and_broken_links_of_that_name_are_passed_over(tmp_path):
    write_conn(tmp_path / "conn.log" / "conn.log", [conn()])
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "conn.log").symlink_to("nowhere")
    (tmp_path / "conn.log.gz").symlink_to("conn.log.gz")
    assert names(find_logs([tmp_path]), tmp_path) == ["conn.log/conn.log"]


@pytest.mark.parametrize("source", ["nothing", "no*", "2026-*/conn.log", "link"])
def test_a_source_that_names_nothing_is_refused(tmp_path, source):
    (tmp_path / "link").symlink_to("nowhere")
    write_conn(tmp_path / "conn.log", [conn()])
    with pytest.raises(InputError, match="found nothing; check the path"):
        find_logs([tmp_path, tmp_path / source])


def test_a_directory_without_conn_logs_is_refused(tmp_path):
    write_conn(tmp_path / "conn-summary.log", [conn()])
    with pytest.raises(InputError, match="expected conn logs below it"):
        find_logs([tmp_path])


@pytest.mark.parametrize(
    "data", [b"Lorem ipsum\n", header(path="dns") + b"x\n", b"[{}]\n", b"\xff\xfe#\0"]
)
def test_a_file_that_is_no_conn_log_is_refused_before_work(tmp_path, data):
    write(tmp_path / "conn.log", data)
    write_conn(tmp_path / "good" / "conn.log", [conn()])
    with pytest.raises(InputError, match=r"conn\.log"):
        find_logs([tmp_path])


@pytest.mark.parametrize("name", ["conn.log", "2026-11-22/conn.log"])
def test_what_may_not_be_read_is_refused_by_name(tmp_path, name):
    closed = tmp_path / name.partition("/")[0]
    write_conn(tmp_path / name, [conn()])
    write_conn(tmp_path / "good" / "conn.log", [conn()])
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("Who runs the tests may read everything.")
        for source in (tmp_path, tmp_path / name):
            with pytest.raises(InputError, match=closed.name):
                find_logs([source])
    finally:
        closed.chmod(0o700)


def test_a_pipe_named_conn_log_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "conn.log")
    for source in (tmp_path, tmp_path / "conn.log", f"{tmp_path}/c*"):
        with at_most(5), pytest.raises(InputError):
            find_logs([source])


def test_a_pipe_beside_logs_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "conn.log")
    write_conn(tmp_path / "old" / "conn.log", [conn()])
    with at_most(5):
        assert names(find_logs([tmp_path]), tmp_path) == ["old/conn.log"]


@pytest.mark.parametrize("rows", [tsv, json_rows])
def test_only_the_beginning_of_a_long_log_is_looked_at(tmp_path, rows):
    data = rows([conn(n) for n in range(2000)]) + b"\x1f bad \xff\n"
    (log,) = find_logs([write(tmp_path / "conn.log", data)])
    assert log.around_us == (T0 + 31) * 10**6 + 1_750_000
