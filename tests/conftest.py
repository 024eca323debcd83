"""What the tests share: the real logs, where there are any, and a reader of bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from zeek import read_conn

from entropy_ids.collector import Parsed

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


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Parsed]:
    """Read bytes as if they were conn.log."""

    def read_bytes(data: bytes, **how: int) -> Parsed:
        path = tmp_path / "conn.log"
        path.write_bytes(data)
        return read_conn(path, **how)

    return read_bytes
