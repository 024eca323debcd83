"""Profiles on disk: what is written is read, damage is named, nothing is half there."""

import ast
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import make
import numpy as np
import pandas as pd
import pytest

import entropy_ids
from entropy_ids.errors import ConfigError, ProfileError
from entropy_ids.profile.store import FILES, FORMAT, MANIFEST, Profile

SIGNATURES = "# Bürozeiten\n[[signature]]\nclass = 'dos'\nall = ['flows.all high 9']\n"


def profile(sensor: str = "office", threshold: float = 1.25) -> Profile:
    rng = np.random.default_rng(1)
    stamps = make.stamps(4)
    bounds = {
        "slot": [0, 1, 2, 3],
        "low": [0.5, np.nan, 1.0, 2.0],
        "low_minute": stamps,
    }
    series = {
        "minute": stamps,
        "score": [np.nan, 1.0, 2.0, 3.0],
        "coverage": "complete",
    }
    usual = {"feature": ["orig_h"], "value": ["10.0.0.1"], "share": [0.25]}
    return Profile(
        {"sensor": sensor, "threshold": threshold, "columns": ["flows.all.log2"]},
        {"weight": rng.normal(size=(3, 2)).astype(np.float32)},
        {"mean": rng.normal(size=3), "covariance": rng.normal(size=(3, 3))},
        pd.DataFrame(bounds),
        pd.DataFrame({"minute": [], "key": [], "value": [], "uids": []}),
        pd.DataFrame(series),
        pd.DataFrame(usual),
        SIGNATURES,
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    profile().write(tmp_path / "p")
    return tmp_path / "p"


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def edit_manifest(directory: Path, **values: Any) -> None:
    path = directory / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# ------------------------------------------------------------------ write and read


def test_what_was_written_is_read(stored):
    read, written = Profile.read(stored), profile()
    assert written.manifest.items() <= read.manifest.items()
    for name in ("bounds", "series", "usual"):
        pd.testing.assert_frame_equal(getattr(read, name), getattr(written, name))
    for name in ("weights", "residual"):
        mine, other = getattr(read, name), getattr(written, name)
        assert mine.keys() == other.keys()
        assert all(mine[key].tobytes() == other[key].tobytes() for key in mine)
        assert all(mine[key].dtype == other[key].dtype for key in mine)


def test_signatures_are_kept_word_by_word(stored):
    read = Profile.read(stored)
    assert read.signatures_text == SIGNATURES
    assert [signature.class_name for signature in read.signatures] == ["dos"]


@pytest.mark.parametrize(
    "lay",
    [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: array[::-1][::-1],
        lambda array: array.T.copy().T,
        lambda array: np.pad(array, 1)[1:-1, 1:-1],
        lambda array: array[:0],
    ],
    ids=["fortran", "strided", "reversed", "transposed", "window", "empty"],
)
def test_tensors_are_read_as_written_however_they_lie_in_memory(tmp_path, lay):
    laid = lay(np.arange(12.0).reshape(4, 3))
    written = profile()
    written.residual["covariance"] = laid
    written.write(tmp_path / "p")
    assert np.array_equal(Profile.read(tmp_path / "p").residual["covariance"], laid)


def test_the_same_content_gives_the_same_bytes_and_hash(tmp_path):
    hashes = {profile().write(tmp_path / name) for name in ("a", "b")}
    assert len(hashes) == 1
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_order_of_the_manifest_is_no_content(tmp_path):
    turned = profile()
    object.__setattr__(turned, "manifest", dict(reversed(turned.manifest.items())))
    assert turned.write(tmp_path / "a") == profile().write(tmp_path / "b")


def test_other_content_gives_another_hash(tmp_path):
    hashes = {
        profile().write(tmp_path / "a"),
        profile(threshold=1.5).write(tmp_path / "b"),
        profile(sensor="annex").write(tmp_path / "c"),
    }
    assert len(hashes) == 3


def test_a_profile_is_named_by_the_hash_of_its_manifest(tmp_path):
    written = profile().write(tmp_path / "p")
    manifest = (tmp_path / "p" / MANIFEST).read_bytes()
    assert written == hashlib.sha256(manifest).hexdigest()[:16]
    assert Profile.read(tmp_path / "p").hash == written


def test_the_manifest_names_every_other_file_by_its_sha_256(stored):
    files = contents(stored)
    manifest = json.loads(files.pop(MANIFEST))
    assert manifest["format"] == FORMAT
    assert manifest["files"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert set(files) == set(FILES)


def test_a_profile_is_written_below_directories_that_do_not_exist_yet(tmp_path):
    profile().write(tmp_path / "a" / "b" / "p")
    assert Profile.read(tmp_path / "a" / "b" / "p").manifest["sensor"] == "office"


# -------------------------------------------------------------------- replacement


def test_an_empty_directory_is_taken(tmp_path):
    profile().write(tmp_path)
    assert Profile.read(tmp_path).manifest["sensor"] == "office"


def test_a_profile_replaces_a_profile_and_leaves_nothing_beside_it(stored):
    written = profile(sensor="annex").write(stored)
    assert Profile.read(stored).hash == written
    assert list(stored.parent.iterdir()) == [stored]


def test_a_directory_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="found other files"):
        profile().write(tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_is_refused_and_left_alone(tmp_path):
    (tmp_path / "p").write_text("years of work")
    with pytest.raises(ConfigError, match="found other files"):
        profile().write(tmp_path / "p")
    assert (tmp_path / "p").read_text() == "years of work"


def test_other_files_beside_a_manifest_are_refused_and_left_alone(tmp_path):
    files = {"manifest.json": b'{"name": "web app"}', "thesis.txt": b"years of work"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match="found other files"):
        profile().write(tmp_path)
    assert contents(tmp_path) == files


def test_other_files_in_a_profile_are_refused_and_left_alone(stored):
    (stored / "notes.txt").write_text("why we trained it so")
    with pytest.raises(ConfigError, match="found other files"):
        profile(sensor="annex").write(stored)
    assert (stored / "notes.txt").read_text() == "why we trained it so"
    assert Profile.read(stored).manifest["sensor"] == "office"


def test_a_profile_behind_a_symbolic_link_is_replaced_there(stored):
    link = stored.with_name("current")
    link.symlink_to(stored, target_is_directory=True)
    profile(sensor="annex").write(link)
    assert link.is_symlink()
    assert Profile.read(stored).manifest["sensor"] == "annex"


def fail_at(call: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function fail, as if the disk were full, at its n-th call."""
    calls = 0

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(28, "No space left on device")
        return original(*arguments, **named)

    return failing


@pytest.mark.parametrize("call", range(1, len(FILES) + 2))
def test_when_a_file_cannot_be_written_the_old_profile_still_reads(
    stored, monkeypatch, call
):
    before = contents(stored)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="No space"):
        broken.setattr(Path, "write_bytes", fail_at(call, Path.write_bytes))
        profile(sensor="annex").write(stored)
    assert contents(stored) == before
    assert list(stored.parent.iterdir()) == [stored]


@pytest.mark.parametrize("call", [1, 2])
def test_when_a_profile_cannot_be_put_in_place_the_old_one_still_reads(
    stored, monkeypatch, call
):
    with monkeypatch.context() as broken, pytest.raises(OSError, match="No space"):
        broken.setattr(Path, "replace", fail_at(call, Path.replace))
        profile(sensor="annex").write(stored)
    assert Profile.read(stored).manifest["sensor"] == "office"
    assert list(stored.parent.iterdir()) == [stored]


def test_when_a_new_profile_cannot_be_written_nothing_is_left(tmp_path, monkeypatch):
    with monkeypatch.context() as broken, pytest.raises(OSError, match="No space"):
        broken.setattr(Path, "write_bytes", fail_at(3, Path.write_bytes))
        profile().write(tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- damage


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_named(stored, name):
    (stored / name).unlink()
    with pytest.raises(ProfileError, match=rf"{name}: expected a file of a profile"):
        Profile.read(stored)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ProfileError, match=r"nowhere/manifest\.json"):
        Profile.read(tmp_path / "nowhere")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_noticed_and_its_file_named(stored, name, share):
    data = bytearray((stored / name).read_bytes())
    data[round(share * (len(data) - 1))] ^= 1
    (stored / name).write_bytes(data)
    with pytest.raises(ProfileError, match=rf"{name}: expected .* SHA-256"):
        Profile.read(stored)


def flips(data: bytes) -> Iterator[bytes]:
    """Change one bit of each byte, one byte at a time."""
    rng = random.Random(1)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        yield bytes(changed)


def test_one_changed_byte_of_the_manifest_is_refused_or_is_another_profile(stored):
    path = stored / MANIFEST
    data, name = path.read_bytes(), Profile.read(stored).hash
    for changed in flips(data):
        path.write_bytes(changed)
        try:
            assert Profile.read(stored).hash != name
        except ProfileError as err:
            assert str(stored) in str(err)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_named(stored, name, left):
    data = (stored / name).read_bytes()
    (stored / name).write_bytes(data[: int(left * len(data))])
    with pytest.raises(ProfileError, match=rf"{name}: expected"):
        Profile.read(stored)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"7",
        b"\xff\xfe\x00",
        b'{"format": 2}',
        b'{"format": 2, "files": null}',
        b'{"format": 2, "files": []}',
        b'{"format": 2, "files": "all of them"}',
        b"[" * 100_000,
    ],
    ids=lambda text: text[:40].decode("latin-1"),
)
def test_garbage_for_a_manifest_is_refused_by_name(stored, text):
    (stored / MANIFEST).write_bytes(text)
    with pytest.raises(ProfileError, match=r"manifest\.json: expected a profile's"):
        Profile.read(stored)


@pytest.mark.parametrize("found", [FORMAT + 1, FORMAT - 1, "1", None])
def test_a_profile_of_another_format_is_refused(stored, found):
    edit_manifest(stored, format=found)
    told = f"expected profile format {FORMAT}, found {found}; train anew"
    with pytest.raises(ProfileError, match=told):
        Profile.read(stored)


def test_a_newer_format_is_told_even_if_its_manifest_is_laid_out_otherwise(stored):
    (stored / MANIFEST).write_text(json.dumps({"format": FORMAT + 1, "parts": []}))
    with pytest.raises(ProfileError, match=f"profile format {FORMAT}, found"):
        Profile.read(stored)


@pytest.mark.parametrize("name", FILES[:6])
def test_a_file_that_is_no_tensor_or_table_is_refused_though_its_hash_is_right(
    stored, name
):
    (stored / name).write_bytes(b"no such thing")
    hashes = json.loads((stored / MANIFEST).read_text())["files"]
    edit_manifest(
        stored, files=hashes | {name: hashlib.sha256(b"no such thing").hexdigest()}
    )
    with pytest.raises(ProfileError, match="expected readable tensors and tables"):
        Profile.read(stored)


def test_signatures_of_a_profile_that_cannot_be_used_are_refused(stored):
    broken = "[[signature]]\nclass = 'dso'\n"
    written = profile()
    object.__setattr__(written, "signatures_text", broken)
    written.write(stored)
    with pytest.raises(ConfigError, match="dso"):
        _ = Profile.read(stored).signatures


# --------------------------------------------------------------------- no pickling

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
UNSAFE_NAMES = {"read_pickle", "to_pickle", "allow_pickle"}


def unsafe(path: Path) -> list[str]:
    """Name what in a module could run code that a file brings along."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names.append(getattr(node, "module", None) or "")
        found += [name for name in names if name.split(".")[0] in UNSAFE_MODULES]
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in UNSAFE_NAMES or (owner, node.attr) in (
                ("torch", "load"),
                ("torch", "save"),
            ):
                found.append(f"{owner}.{node.attr}")
        if isinstance(node, ast.keyword) and node.arg in UNSAFE_NAMES:
            found.append(node.arg)
    return [f"{path.name}: {name}" for name in found]


def test_nothing_in_the_package_reads_or_writes_pickles():
    modules = Path(entropy_ids.__file__).parent.rglob("*.py")
    assert [what for path in modules for what in unsafe(path)] == []
