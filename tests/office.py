"""Three days of a small office with two attacks on the last, and a profile of it."""

import datetime as dt
from pathlib import Path

from entropy_ids import learning
from entropy_ids.collector import find_logs
from entropy_ids.config import Config
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading, read_series
from entropy_ids.simulate import schedule, simulate, usual

SMALL = ("training.epochs=2", "detector.hidden=16", "detector.latent=8")
HOURS = "2026-03-04/conn.1[0-5]*"  # the two attacks, and a working day around them
LAST_DAY = int(dt.datetime(2026, 3, 4, tzinfo=dt.UTC).timestamp())


def make_office(logs: Path) -> Path:
    """Generate the logs."""
    nine = LAST_DAY + 9 * 3600
    plans = [usual("port-scan"), usual("ddos")]
    attacks = schedule(plans, nine, nine + 8 * 3600, seed=4)
    start = dt.date(2026, 3, 2)
    simulate(logs, days=3, start=start, seed=4, attacks=attacks, siblings=False)
    return logs


def make_profile(
    logs: Path,
    out: Path,
    *overrides: str,
    workers: int = 1,
    kind: str = "lstm-autoencoder",
) -> Profile:
    """Train on the first two days."""
    config = Config.load(overrides=[*SMALL, *overrides], environment={})
    reading = Reading(workers, config["reading.block_kib"] << 10, until=LAST_DAY)
    seen = learning.witness_of(kind)
    series, _ = read_series(find_logs([logs]), config, reading, seen=seen)
    trained = learning.train(series, seen, config, "office", kind)
    trained.profile.write(out)
    return Profile.read(out)
