"""What the tests share: the real logs, where there are any, and a reader of bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from office import make_office, make_profile
from zeek import read_conn

from entropy_ids.collector import Parsed
from entropy_ids.profile.store import Profile

# `make test` draws the same examples every time; `make test-all` searches for new ones
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real logs; tests that use it are marked ``shared``."""
    name = os.environ.get("ENTROPY_IDS_SHARED_DATA")
    if not name:
        pytest.skip("ENTROPY_IDS_SHARED_DATA is not set, so there are no real logs.")
    if not Path(name).is_dir():
        pytest.skip(f"ENTROPY_IDS_SHARED_DATA names {name}, which is no directory.")
    return Path(name)


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of a small office, two attacks on the last."""
    return make_office(tmp_path_factory.mktemp("office") / "logs")


@pytest.fixture(scope="session")
def profile_dir(office: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a profile trained on the office's first two days."""
    out = tmp_path_factory.mktemp("made") / "profile"
    make_profile(office, out)
    return out


@pytest.fixture(scope="session")
def profile(profile_dir: Path) -> Profile:
    """That profile, read."""
    return Profile.read(profile_dir)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Parsed]:
    """Read bytes as if they were conn.log."""

    def read_bytes(data: bytes, **how: int) -> Parsed:
        path = tmp_path / "conn.log"
        path.write_bytes(data)
        return read_conn(path, **how)

    return read_bytes
