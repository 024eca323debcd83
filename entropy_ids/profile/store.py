"""A profile on disk: a directory that names by hash what it holds. No pickle."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from entropy_ids.errors import ConfigError, ProfileError
from entropy_ids.profile.signatures import Signature, parse_signatures

FORMAT = 2
MANIFEST = "manifest.json"
FILES = (
    "model.safetensors",
    "residual.safetensors",
    "bounds.parquet",
    "setters.parquet",
    "series.parquet",
    "usual.parquet",
    "signatures.toml",
)
TRAINING = "training.json"
"""What differs from one training to the next, and is in no hash: how long it took."""
HASH_CHARS = 16
_ANEW = "restore it from a copy, or train anew"


@dataclass(frozen=True)
class Profile:
    """What training leaves behind, and all that replay needs.

    Attributes
    ----------
    manifest
        ``sensor``, ``range``, ``columns``, ``settings``, ``detector``, ``threshold``
        and the SHA-256 of every file; no wall time.
    weights, residual
        Tensors of the detector.
    bounds
        As `entropy_ids.profile.bounds.learn` gives it.
    setters
        Who set the bounds: ``minute``, ``key``, ``value``, ``uids``.
    series
        The training minutes: ``minute``, ``score``, ``coverage``, ``flows``, columns.
    usual
        Usual shares of values: ``feature``, ``value``, ``share``.
    signatures_text
        TOML; a SOC's own edits go through `Profile.write`.
    took_s
        Seconds that the training took, where that is known.
    """

    manifest: Mapping[str, Any]
    weights: dict[str, NDArray[np.float32]]
    residual: dict[str, NDArray[np.float64]]
    bounds: pd.DataFrame
    setters: pd.DataFrame
    series: pd.DataFrame
    usual: pd.DataFrame
    signatures_text: str
    hash: str = ""
    took_s: float | None = None

    @property
    def signatures(self) -> list[Signature]:
        """The signatures, parsed."""
        return parse_signatures(self.signatures_text)

    @property
    def size_bytes(self) -> int:
        """Size of the network's weights."""
        return sum(weight.nbytes for weight in self.weights.values())

    def write(self, directory: Path) -> str:
        """Write to a new or old profile directory, all or nothing; give the hash.

        Raises
        ------
        ConfigError
            When the directory holds something else.
        """
        check_target(directory)
        directory = directory.resolve()  # what is behind a link is replaced there
        files = {
            "model.safetensors": _tensors(self.weights),
            "residual.safetensors": _tensors(self.residual),
            "bounds.parquet": _parquet(self.bounds),
            "setters.parquet": _parquet(self.setters),
            "series.parquet": _parquet(self.series),
            "usual.parquet": _parquet(self.usual),
            "signatures.toml": self.signatures_text.encode(),
        }
        hashes = {
            name: hashlib.sha256(data).hexdigest() for name, data in files.items()
        }
        manifest = {**self.manifest, "format": FORMAT, "files": hashes}
        text = json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
        if self.took_s is not None:
            files[TRAINING] = json.dumps({"took_s": round(self.took_s, 1)}).encode()
        _replace(directory, {**files, MANIFEST: text})
        return _hash(text)

    @staticmethod
    def read(directory: Path) -> Profile:
        """Read and check a profile.

        Raises
        ------
        ProfileError
            When files are missing, changed, or of another format.
        """
        text = _bytes(directory, MANIFEST)
        try:
            manifest = json.loads(text)
            found = manifest["format"]
            hashes = {
                name: manifest["files"][name] for name in FILES * (found == FORMAT)
            }
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            raise ProfileError(
                f"{directory / MANIFEST}: expected a profile's manifest, found damage "
                f"({err}); {_ANEW}"
            ) from err
        if found != FORMAT:
            raise ProfileError(
                f"{directory}: expected profile format {FORMAT}, found {found}; train "
                "anew with this version"
            )
        files = {name: _bytes(directory, name) for name in FILES}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != hashes.get(name):
                raise ProfileError(
                    f"{directory / name}: expected the file that manifest.json names "
                    f"by its SHA-256, found another; {_ANEW}"
                )
        try:
            weights, residual = (load(files[name]) for name in FILES[:2])
            bounds, setters, series, usual = (
                pd.read_parquet(io.BytesIO(files[name])) for name in FILES[2:6]
            )
        except (SafetensorError, OSError, ValueError) as err:
            raise ProfileError(
                f"{directory}: expected readable tensors and tables, found: {err}; "
                f"{_ANEW}"
            ) from err
        return Profile(
            manifest,
            weights,
            residual,
            bounds,
            setters,
            series,
            usual,
            files["signatures.toml"].decode("utf-8", "replace"),
            _hash(text),
            _took_s(directory),
        )


def check_target(directory: Path) -> None:
    """Refuse, before any work, a directory that is not a profile's to replace.

    Raises
    ------
    ConfigError
        When it holds other files.
    """
    if directory.exists() and not _is_profile(directory):
        raise ConfigError(
            f"{directory}: expected a new directory or a profile to replace, found "
            "other files; give another --profile"
        )


def _bytes(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as err:
        raise ProfileError(
            f"{directory / name}: expected a file of a profile, found: {err.strerror}; "
            "give the directory that 'entropy-ids train --profile' wrote"
        ) from err


def _is_profile(directory: Path) -> bool:
    return directory.is_dir() and (
        {path.name for path in directory.iterdir()} <= {MANIFEST, TRAINING, *FILES}
    )


def _took_s(directory: Path) -> float | None:
    """Give how long the training took; a courtesy, so that damage means unknown."""
    try:
        return float(json.loads((directory / TRAINING).read_bytes())["took_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:HASH_CHARS]


def _tensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Write tensors; safetensors takes the bytes of a strided array as they lie."""
    return save({name: np.ascontiguousarray(value) for name, value in tensors.items()})


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _replace(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write beside, then put in place, so that no half profile is ever seen."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        fresh.chmod(0o755)
        if directory.exists():
            old = fresh.with_name(fresh.name + ".old")
            directory.replace(old)
            try:
                fresh.replace(directory)
            except OSError:
                old.replace(directory)
                raise
            shutil.rmtree(old)
        else:
            fresh.replace(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
