"""What a sensor counts, and the remarks that follow from it."""

from types import SimpleNamespace

import pandas as pd

from entropy_ids.config import Config
from entropy_ids.daemon.tally import Tally
from entropy_ids.duty import Judged

NOON = 1_772_625_600  # 2026-03-04, a Wednesday


def judged(minute: int, *scores: float) -> Judged:
    stamps = pd.date_range(
        pd.Timestamp(minute, unit="s", tz="UTC"), periods=len(scores), freq="min"
    )
    table = pd.DataFrame({"minute": stamps, "score": scores, "threshold": 2.0})
    return Judged(minute, minute + 60 * (len(scores) - 1), table, [])


def profile_of(name: str, **borrowed: int) -> SimpleNamespace:
    """Give a profile whose slots borrow nothing, but those of some hours."""
    lent = [borrowed.get(f"h{slot}", 0) for slot in range(48)]
    bounds = pd.DataFrame({"slot": range(48), "borrowed": lent})
    settings = Config({}).trained()
    return SimpleNamespace(hash=name, bounds=bounds, manifest={"settings": settings})


def test_an_anomaly_judged_by_borrowed_bounds_is_remarked_once_for_its_slot():
    tally, profile = Tally(), profile_of("one", h12=45, h13=30)
    (remark,) = tally.immature(judged(NOON, 1.0, 3.0), profile)
    assert (remark.kind, remark.minute) == ("immature-slot", NOON)
    assert "weekday 12" in remark.detail
    assert "45" in remark.detail
    assert tally.immature(judged(NOON + 120, 3.0), profile) == []
    assert len(tally.immature(judged(NOON + 3600, 3.0), profile)) == 1


def test_usual_minutes_and_slots_that_know_enough_are_not_remarked_upon():
    tally = Tally()
    assert tally.immature(judged(NOON, 1.0, float("nan")), profile_of("a", h12=9)) == []
    assert tally.immature(judged(NOON, 3.0), profile_of("a", h13=9)) == []


def test_another_profile_is_remarked_upon_anew():
    tally = Tally()
    for name in ("one", "two"):
        assert len(tally.immature(judged(NOON, 3.0), profile_of(name, h12=9))) == 1
    assert tally.remarked_slots == {"two": [12]}
