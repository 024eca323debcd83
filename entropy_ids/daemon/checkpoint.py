"""Checkpoints: one document in one file that is whole, or known not to be.

What the document says is the daemon's business; it is a tree of dataclasses, plain
values and polars frames.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import polars as pl

from entropy_ids.errors import StateError

FORMAT = 1
"""Grows when an older version could not read what is written."""
_MODE = 0o600
_HEADER_BYTES = 1_000

T = TypeVar("T")


@dataclass(frozen=True)
class Read(Generic[T]):
    """A document as it was read.

    Attributes
    ----------
    document
        What was written.
    remark
        What was wrong with the newest copy, when an older one had to be taken.
    """

    document: T
    remark: str | None = None


class NoWholeCopy(StateError):
    """There are copies, and all are damaged."""


class _Damaged(Exception):
    """What one copy was expected to be, and what it is."""


def write(path: Path, document: object) -> None:
    """Write a document in the place of the last one, which is kept as ``.previous``.

    At every moment, whatever stops, some copy on the disk is whole.

    Raises
    ------
    OSError
        When it cannot be written or made to last; what stood there before is kept.
    """
    body = msgspec.msgpack.encode(document, enc_hook=_encode)
    header = {"format": FORMAT, "sha256": _sum(FORMAT, body), "bytes": len(body)}
    fresh, previous = _beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, _MODE), "wb") as file:
        os.fchmod(file.fileno(), _MODE)
        file.write(json.dumps(header).encode() + b"\n")
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(previous)
    fresh.replace(path)
    _sync_folder(path.parent)


def read(path: Path, kind: type[T]) -> Read[T] | None:
    """Read the newest whole copy of a document; None when there is no copy at all.

    Parameters
    ----------
    kind
        The dataclass of the document.

    Raises
    ------
    NoWholeCopy
        When there are copies, and all are damaged.
    StateError
        When a newer version wrote it.
    """
    fresh, previous = _beside(path)
    problems: dict[Path, str] = {}
    for copy in (path, fresh, previous):
        try:
            document = _document(copy, kind)
        except FileNotFoundError:
            continue
        except (OSError, _Damaged) as err:
            problems[copy] = f"{copy}: {err}"
        else:
            problem = problems.get(path, f"{path}: expected a checkpoint, found none")
            remark = f"{problem}; {copy.name} was taken instead"
            stopped = copy == fresh and path not in problems  # between two renamings
            return Read(document, None if copy == path or stopped else remark)
    if problems.keys() - {fresh}:  # a first copy that was never ended is none
        raise NoWholeCopy(
            f"{'; '.join(problems.values())}; no copy is whole: move them away to "
            "begin anew"
        )
    return None


def _beside(path: Path) -> tuple[Path, Path]:
    """Give where the next copy is written, and where the last one is kept."""
    return path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.previous")


def _sum(version: int, body: bytes) -> str:
    """Sum the format too: a flipped bit there is damage, not a newer version."""
    return sha256(f"{version}\n".encode() + body).hexdigest()


def _document(path: Path, kind: type[T]) -> T:
    """Read one copy."""
    data = path.read_bytes()
    header, _, body = data.partition(b"\n")
    try:
        told = json.loads(header[:_HEADER_BYTES])
        version, digest, size = told["format"], told["sha256"], told["bytes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _Damaged("expected a checkpoint, found other bytes") from None
    if size != len(body):
        raise _Damaged(f"expected {size} bytes, found {len(body)}")
    if digest != _sum(version, body):
        raise _Damaged("expected the bytes that were written, found others")
    if version != FORMAT:
        raise StateError(
            f"{path}: expected format {FORMAT}, found {version}; a newer version wrote "
            "it: run that version, or move the file away to begin anew"
        )
    try:
        return msgspec.msgpack.decode(body, type=kind, dec_hook=_decode)
    except msgspec.MsgspecError as err:
        raise _Damaged(f"expected a {kind.__name__}, found another: {err}") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        data = io.BytesIO()
        value.write_ipc(data, compression="lz4")
        return data.getvalue()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected plain values and frames, found {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is not pl.DataFrame:
        raise TypeError(f"expected a plain type, found {kind.__name__}")
    try:
        return pl.read_ipc(io.BytesIO(value))
    except (OSError, pl.exceptions.PolarsError) as err:
        raise ValueError(f"no frame: {err}") from None
