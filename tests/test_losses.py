"""Packets that Zeek missed, and files of loggers that nobody reads."""

import json
import os
from pathlib import Path

import pytest
from zeek import conn, write, write_conn

from entropy_ids.config import SensorConfig
from entropy_ids.daemon.loggers import suffixes_of, unread
from entropy_ids.daemon.losses import NAME, Losses

HEADER = b"#separator \\x09\n#fields\tts\tts_delta\tpeer\tgaps\tacks\tpercent_lost\n"


def tsv_line(ts: float, peer: str, percent: float, acks: int = 5000) -> bytes:
    return f"{ts:.6f}\t900.0\t{peer}\t7\t{acks}\t{percent}\n".encode()


def json_line(ts: object, percent: float, acks: int = 5000) -> bytes:
    row = {"ts": ts, "peer": "zeek", "gaps": 7, "acks": acks, "percent_lost": percent}
    return json.dumps(row).encode() + b"\n"


def told(folder: Path, data: bytes) -> list[tuple[str, int]]:
    write(folder / NAME, data)
    return [(one.kind, one.minute) for one in Losses([folder]).look()]


def test_much_loss_is_remarked_in_its_minute_and_little_is_not(tmp_path):
    little, much = tsv_line(605, "worker-1", 0.9), tsv_line(605, "worker-2", 1.1)
    assert told(tmp_path, HEADER + little) == []
    assert told(tmp_path, HEADER + little + much) == [("packet-loss", 600)]


@pytest.mark.parametrize("ts", [605.5, "1970-01-01T00:10:05.500000Z"])
def test_json_with_either_form_of_time_is_read_too(tmp_path, ts):
    assert told(tmp_path, json_line(ts, 12.5)) == [("packet-loss", 600)]


def test_the_worst_peer_is_named_and_its_share_kept(tmp_path):
    lines = [tsv_line(60, "worker-1", 2.5), tsv_line(60, "worker-2", 7.25)]
    write(tmp_path / NAME, HEADER + b"".join(lines))
    losses = Losses([tmp_path])
    (remark,) = losses.look()
    assert "7.25 % at worker-2" in remark.detail
    assert losses.percent == 7.25


def test_a_row_is_told_of_once_and_only_when_it_is_whole(tmp_path):
    losses, line = Losses([tmp_path]), tsv_line(120, "zeek", 5)
    path = write(tmp_path / NAME, HEADER + line[:-4])
    assert losses.look() == []
    path.write_bytes(HEADER + line)
    assert len(losses.look()) == 1
    assert losses.look() == []
    assert losses.percent == 5


def test_a_gap_among_few_acknowledgements_is_no_loss(tmp_path):
    assert told(tmp_path, HEADER + tsv_line(60, "zeek", 50.0, acks=2)) == []


@pytest.mark.parametrize(
    "line",
    [b"{\n", b"[1]\n", b"1\t2\n", tsv_line(60, "z", 101), tsv_line(60, "z", -5)],
)
def test_what_is_no_row_is_passed_over(tmp_path, line):
    good = tsv_line(60, "zeek", 3)
    assert told(tmp_path, HEADER + line + good) == [("packet-loss", 60)]


def test_of_a_log_that_never_rotates_the_newest_rows_are_read(tmp_path):
    old = b"".join(tsv_line(60 * n, "zeek", 9) for n in range(20_000))
    newest = tsv_line(60 * 20_000, "zeek", 2)
    write(tmp_path / NAME, HEADER + old + newest)
    losses = Losses([tmp_path])
    assert [remark.minute for remark in losses.look()] == [60 * 19_999]
    assert losses.percent == 2


def test_without_a_log_or_beside_a_pipe_nothing_is_told(tmp_path):
    os.mkfifo(tmp_path / NAME)
    losses = Losses([tmp_path, tmp_path / "nowhere"])
    assert losses.look() == []
    assert losses.percent is None


def sensor(root: Path, *spools: str, archived: tuple[str, ...]) -> SensorConfig:
    for name in archived:
        suffix = f"-{name}" if name else ""
        log = root / f"logs/2026-03-04/conn.10:00:00-11:00:00{suffix}.log.gz"
        write_conn(log, [conn()])
    dirs = tuple(root / "spool" / name for name in spools)
    return SensorConfig("s", dirs, root / "logs")


def test_a_single_logger_takes_all_files_of_a_single_name(tmp_path):
    one = sensor(tmp_path, "current", archived=("", "logger-1"))
    assert suffixes_of(one) == {"": ""}
    assert unread(one) is None


def test_of_several_names_a_single_logger_takes_those_of_its_directory(tmp_path):
    (tmp_path / "spool/logger-1").mkdir(parents=True)
    (tmp_path / "spool/current").symlink_to("logger-1")
    one = sensor(tmp_path, "current", archived=("logger-1", "logger-2"))
    assert suffixes_of(one) == {"": "logger-1"}
    problem = unread(one)
    assert problem and "found some of logger-2;" in problem


def test_of_several_strange_names_a_single_logger_takes_none(tmp_path):
    one = sensor(tmp_path, "zeek", archived=("", "logger-1", "logger-2"))
    assert suffixes_of(one) == {"": "zeek"}
    problem = unread(one)
    assert problem and "found some of logger-1, logger-2;" in problem


def test_several_loggers_take_the_files_of_their_directories(tmp_path):
    both = ("logger-1", "logger-2")
    assert unread(sensor(tmp_path, *both, archived=both)) is None
    more = sensor(tmp_path, *both, archived=(*both, "logger-3"))
    assert suffixes_of(more) == {"logger-1": "logger-1", "logger-2": "logger-2"}
    assert "logger-3" in (unread(more) or "")


def test_no_archive_or_one_that_is_nowhere_names_no_logger(tmp_path):
    assert unread(SensorConfig("s", (tmp_path,))) is None
    assert unread(SensorConfig("s", (tmp_path,), tmp_path / "nowhere")) is None
