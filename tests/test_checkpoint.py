"""Checkpoints: what is read is what was written, or it is said that it is not."""

import datetime as dt
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from entropy_ids.daemon import checkpoint
from entropy_ids.daemon.checkpoint import read, write
from entropy_ids.errors import StateError

FRAME = pl.DataFrame(
    {
        "ts": [dt.datetime(2026, 3, 4, tzinfo=dt.UTC), None],
        "duration": [None, dt.timedelta(microseconds=7)],
        "id.orig_h": ["2001:db8::1", ""],
        "id.orig_p": pl.Series([1, 65_535], dtype=pl.UInt16),
        "value": [math.nan, -math.inf],
        "old": [True, None],
    }
)


@dataclass
class Inner:
    minute: int
    frames: list[tuple[pl.DataFrame, str]] = field(default_factory=list)


@dataclass
class Document:
    number: int
    value: float = 0.0
    signs: dict[tuple[str, str], str] = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    inner: Inner | None = None
    data: bytes = b""


@dataclass
class Other:
    name: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


def fresh(path: Path) -> Path:
    return path.with_name("checkpoint.new")


def previous(path: Path) -> Path:
    return path.with_name("checkpoint.previous")


def number(path: Path) -> int | None:
    found = read(path, Document)
    return found.document.number if found else None


def back(path: Path, document: Document) -> Document:
    write(path, document)
    found = read(path, Document)
    assert found is not None
    assert found.remark is None
    return found.document


# ---------------------------------------------------------------- what is kept


def test_what_was_never_written_is_nothing(path):
    assert read(path, Document) is None


def test_a_tree_of_dataclasses_comes_back_equal(path):
    document = Document(
        3, 0.1, {("orig_h", "all"): "low"}, inner=Inner(60), data=b"\0\xff\n"
    )
    assert back(path, document) == document


def test_frames_come_back_with_types_nulls_and_order(path):
    document = Document(1, tables={"a": FRAME}, inner=Inner(0, [(FRAME[1:], "x")]))
    found = back(path, document)
    assert_frame_equal(found.tables["a"], FRAME)
    assert_frame_equal(found.inner.frames[0][0], FRAME[1:])


def test_frames_without_rows_keep_their_columns(path):
    assert_frame_equal(
        back(path, Document(1, tables={"a": FRAME[:0]})).tables["a"], FRAME[:0]
    )


@settings(max_examples=50, deadline=None)
@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_every_float_survives_bit_by_bit(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("floats") / "checkpoint"
    found = back(path, Document(1, value)).value
    assert np.float64(found).tobytes() == np.float64(value).tobytes()


def test_scalars_of_numpy_come_back_as_plain_values(path):
    found = back(path, Document(np.int64(7), np.float64("nan")))  # type: ignore
    assert type(found.number) is int
    assert math.isnan(found.value)


def test_what_is_no_plain_value_is_refused_and_the_last_one_stays(path):
    write(path, Document(1))
    with pytest.raises(
        TypeError, match="expected plain values and frames, found object"
    ):
        write(path, Document(2, data=object()))  # type: ignore
    assert number(path) == 1


def test_only_its_owner_can_read_it(path):
    fresh(path).write_bytes(b"")
    fresh(path).chmod(0o666)
    write(path, Document(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_in_the_place_of_the_new_copy_is_not_followed(path, tmp_path):
    target = tmp_path / "passwd"
    target.write_bytes(b"root")
    fresh(path).symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        write(path, Document(1))
    assert target.read_bytes() == b"root"


# ---------------------------------------------------------------- damage

SMALL = Document(2, 0.5, {("a", "b"): "low"}, {"t": FRAME})


@pytest.fixture
def twice(path: Path) -> Path:
    write(path, Document(1))
    write(path, SMALL)
    return path


def damaged(data: bytes) -> list[bytes]:
    """Give the bytes cut, flipped, zeroed and lengthened at sampled places."""
    places = {*range(0, 130), *range(130, len(data), 23), len(data) - 1}
    made = [data[:place] for place in places]
    for place in places:
        for bit in (1, 16):
            flipped = bytes([data[place] ^ bit])
            made.append(data[:place] + flipped + data[place + 1 :])
    return [*made, b"", b"\0" * len(data), data + b"\0", data[:200] + data[201:]]


def test_no_damage_is_ever_taken_for_a_document(twice):
    write(twice, SMALL)
    whole = twice.read_bytes()
    previous(twice).unlink()
    for data in damaged(whole):
        twice.write_bytes(data)
        try:
            found = read(twice, Document)
        except StateError:
            continue
        assert found.document.number == 2, data[:130]  # another blank in the header
        assert_frame_equal(found.document.tables["t"], FRAME)


def test_every_damage_falls_back_to_the_copy_before_and_says_so(twice):
    whole = twice.read_bytes()
    for data in damaged(whole)[::7]:
        twice.write_bytes(data)
        found = read(twice, Document)
        if found.document.number != 2:
            assert found.document == Document(1)
            assert f"{twice}: expected" in found.remark
            assert "checkpoint.previous was taken instead" in found.remark


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"{}\n", b"[1]\n", b"[" * 9_999])
def test_when_no_copy_is_whole_both_are_named(twice, data):
    twice.write_bytes(data)
    previous(twice).write_bytes(data)
    with pytest.raises(StateError, match="expected a checkpoint") as error:
        read(twice, Document)
    assert error.value.exit_code == 4
    assert "checkpoint.previous: expected" in str(error.value)


def test_a_document_of_another_kind_is_damage(path):
    write(path, Other("x"))
    with pytest.raises(StateError, match="expected a Document, found another"):
        read(path, Document)


def test_a_frame_whose_bytes_are_no_frame_is_damage(path):
    write(path, {"number": 1, "tables": {"a": b"no frame"}})
    with pytest.raises(StateError, match="expected a Document"):
        read(path, Document)


def test_a_newer_format_is_refused_and_no_older_copy_taken(path, monkeypatch):
    write(path, Document(1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        write(path, Document(2))
    with pytest.raises(StateError, match="expected format 1, found 2; a newer version"):
        read(path, Document)


# ---------------------------------------------------------------- a stop at any point


class Stopped(Exception):
    """The process ended here."""


def stop_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """End at the n-th call to the system; calls after it never happen."""
    calls = iter(range(1_000))

    def counted(real):
        def wrapped(*args, **how):
            if next(calls) >= call:
                raise Stopped
            return real(*args, **how)

        return wrapped

    for name in ("open", "fsync", "fchmod"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))


@pytest.mark.parametrize("call", range(8))
@pytest.mark.parametrize("before", ["nothing", "whole", "damaged"])
def test_a_stop_at_any_point_leaves_the_old_or_the_new(path, monkeypatch, call, before):
    if before != "nothing":
        write(path, Document(0))
        write(path, Document(1))
    if before == "damaged":
        path.write_bytes(b"\0" * 100)
    with monkeypatch.context() as patch:
        stop_at(patch, call)
        try:
            write(path, Document(2))
            done = True
        except Stopped:
            done = False
    old = {"nothing": None, "whole": 1, "damaged": 0}[before]
    assert done == (call >= (6 if before == "nothing" else 7))
    assert number(path) in ({2} if done else {old, 2})


def test_a_disk_that_is_full_leaves_the_last_one(path, monkeypatch):
    write(path, Document(1))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write(path, Document(2))
    assert read(path, Document).remark is None
    assert number(path) == 1
    write(path, Document(3))
    assert number(path) == 3


def test_a_half_written_first_copy_is_no_copy(path):
    fresh(path).write_bytes(b'{"format": 1')
    assert read(path, Document) is None


def test_a_copy_that_only_waited_to_be_renamed_is_taken(twice):
    twice.replace(fresh(twice))
    found = read(twice, Document)
    assert found.document.number == 2
    assert found.remark is None
