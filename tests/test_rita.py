"""Real logs: three days of one cloud host on the open Internet."""

import json
from pathlib import Path

import pytest

from entropy_ids.cli import main

pytestmark = pytest.mark.shared
ATTACKS = {
    "07:25": ("2024-04-21T07:25:00Z", "2024-04-21T07:29:00Z"),
    "15:33": ("2024-04-21T15:33:00Z", "2024-04-21T15:35:00Z"),
}


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert not stop.value.code


@pytest.fixture(scope="module")
def out(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rita")
    days = [shared_data / "rita-72h" / f"2024-04-{day}" for day in (19, 20, 21)]
    run("train", *days[:2], "--profile", folder / "profile")
    run("replay", days[2], "--profile", folder / "profile", "--out", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def incidents(out: Path) -> list[dict]:
    lines = (out / "alarms.jsonl").read_text().splitlines()
    newest = {alarm["id"]: alarm for alarm in map(json.loads, lines)}
    return list(newest.values())


def over(incidents: list[dict], span: tuple[str, str]) -> list[dict]:
    start, end = span
    return [i for i in incidents if i["start"] < end and i["end"] > start]


@pytest.mark.parametrize(
    ("name", "found_at"),
    [("07:25", "2024-04-21T07:27:00Z"), ("15:33", "2024-04-21T15:33:00Z")],
)
def test_the_burst_is_found_before_it_is_over_and_to_its_end(name, found_at, incidents):
    start, end = ATTACKS[name]
    found = over(incidents, (start, end))
    assert min(i["start"] for i in found) <= found_at
    assert max(i["end"] for i in found) >= end


def test_the_web_flood_names_its_networks_and_its_port(incidents):
    (flood,) = over(incidents, ATTACKS["07:25"])
    values = {c["value"] for c in flood["contributors"]}
    assert {"80/tcp", "172.68.0.0/16", "172.69.0.0/16"} <= values
    assert flood["class"] == "ddos"


def test_the_scan_names_its_source(incidents):
    (scan,) = over(incidents, ATTACKS["15:33"])
    sources = [c for c in scan["contributors"] if c["feature"] == "orig_h"]
    assert [c["value"] for c in sources] == ["104.152.52.90"]
    assert scan["class"] == "port-scan"
    assert len(scan["uids"]) == 100


def test_at_most_ten_other_incidents_that_day(incidents):
    expected = [i for span in ATTACKS.values() for i in over(incidents, span)]
    assert len([i for i in incidents if i not in expected]) <= 10


def test_a_zeek_reader_reads_the_alarm_log(out: Path, incidents):
    lines = (out / "entropy_alarm.log").read_text().splitlines()
    fields = next(x for x in lines if x.startswith("#fields")).split("\t")[1:]
    rows = [
        dict(zip(fields, line.split("\t"), strict=True))
        for line in lines
        if not line.startswith("#")
    ]
    assert {row["id"] for row in rows} == {i["id"] for i in incidents}
