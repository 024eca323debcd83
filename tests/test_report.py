"""The report and explain: whole, inert whatever the texts are, and quick to open."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import chromium
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from entropy_ids.alarms.sinks import alarm_line, as_dict, minutes_schema, remark_line
from entropy_ids.cli import cli, main
from entropy_ids.errors import InputError
from entropy_ids.profile.signatures import (
    CLASSES,
    default_text,
    parse_signatures,
)
from entropy_ids.report import charts, terminal, words
from entropy_ids.report.advice import NEXT_STEPS, next_steps, technique
from entropy_ids.report.found import Evidence, Found, read
from entropy_ids.report.markup import data_block
from entropy_ids.report.page import page, write
from entropy_ids.types import Alarm, Contributor, Deviation, Quality, Removal, Removed

DAY = 1772582400
COLUMNS = ("resp_h.all.renyi.1", "flows.all.log2", "resp_p.inbound.rarefied.0")
HOSTILE = (
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    '" onmouseover="window.hit = 1" x=\'',
    "javascript:window.hit=1",
    "]]><!--<svg/onload=window.hit=1>",
    "\x1b[31m\x00\x07 \u202e\u200b\u2028\u2029 {{7*7}} ${7*7} [red]a[/red]",
    "http://127.0.0.1:1/beacon.png",
    "</td></table></main></title></style><base href=//127.0.0.1:1/>",
)


def deviation(column: str = COLUMNS[0], **changes: object) -> Deviation:
    feature, direction, entropy, *order = column.split(".")
    alpha = float(order[0]) if order else None
    found = Deviation(
        feature, direction, entropy, alpha, 5.0, 1.0, 2.0, 4.0, "dispersed"
    )
    return replace(found, **changes)


def incident(number: int = 0, **changes: object) -> Alarm:
    start = DAY + (40 + 60 * number) * 60
    found = Alarm(
        id=hashlib.sha256(str(number).encode()).hexdigest()[:16],
        revision=1,
        state="closed",
        sensor="office",
        class_name=CLASSES[number % len(CLASSES)],
        severity=("low", "medium", "high", "critical")[number % 4],
        confidence=0.8,
        start=start,
        end=start + 300,
        detector="lstm-autoencoder",
        score=3.0,
        threshold=1.0,
        deviations=tuple(map(deviation, COLUMNS)),
        contributors=(Contributor("orig_h", "all", "198.51.100.7", 812, 0.93, 0.01),),
        uids=("CAbc1", "CAbc2"),
        flows=900,
        profile={"name": "office", "hash": "00ff"},
        technique=("T1046",),
        summary="one host tries many hosts",
    )
    return replace(found, **changes)


def table(minutes: int = 1440, start: int = DAY) -> pd.DataFrame:
    drawn = np.random.default_rng(7)
    rows = {
        "minute": pd.to_datetime(start + 60 * np.arange(minutes), unit="s", utc=True),
        "score": drawn.random(minutes),
        "threshold": 1.0,
        "coverage": "complete",
        "flows": drawn.integers(1, 900, minutes),
    }
    return pd.DataFrame(rows | {name: 1 + drawn.random(minutes) for name in COLUMNS})


def put(
    directory: Path, alarms: list[Alarm], rows: pd.DataFrame | None = None, day=""
) -> Path:
    lines = "".join(map(alarm_line, alarms))
    (directory / f"alarms{day}.jsonl").write_text(lines)
    if rows is not None:
        told = pa.Table.from_pandas(rows, minutes_schema(COLUMNS), preserve_index=False)
        pq.write_table(told, directory / f"minutes{day}.parquet")
    return directory


def evidence(directory: Path, alarm: Alarm, document: object) -> None:
    (directory / "evidence").mkdir(exist_ok=True)
    path = directory / "evidence" / f"{alarm.id}.json"
    path.write_text(json.dumps(document))


class Parsed(HTMLParser):
    """The elements of a page, and what stands in some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data):
        if self.lasttag in self.inside:
            self.inside[self.lasttag].append(data)

    @property
    def policy(self) -> str:
        return next(
            dict(attrs)["content"]
            for tag, attrs in self.elements
            if tag == "meta" and dict(attrs).get("http-equiv")
        )


def spoiled(value: object, text: str) -> object:
    """Put a text into every field of text, but those with a fixed alphabet."""
    if isinstance(value, dict):
        kept = {"id", "state", "severity", "start", "end", "sign", "ts"}
        return {k: v if k in kept else spoiled(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [spoiled(item, text) for item in value]
    return text if isinstance(value, str) else value


def filled(directory: Path, text: str | None = None) -> Path:
    """Write a directory with everything that a report shows, perhaps hostile."""

    def told(value: object) -> object:
        return value if text is None else spoiled(value, text)

    alarm = incident(3, suppressed_by="rule", uids=("CA",))
    put(directory, [], table())
    line = json.dumps(told(json.loads(json.dumps(as_dict(alarm)))))
    plain = json.dumps(told(json.loads(remark_line("s", Quality("gap", DAY, "x")))))
    (directory / "alarms.jsonl").write_text(line + "\n")
    (directory / "quality.jsonl").write_text(plain + "\n")
    row = {"ts": 1772582400.5, "uid": "C", "query": "q", "answers": ["a"], "host": "h"}
    logs = {name: {"rows": [row], "count": 1} for name in ("conn", "dns", "http")}
    evidence(directory, alarm, told(logs))
    return directory


def shown(found: Found, alarm: Alarm) -> str:
    out = StringIO()
    console = Console(file=out, width=100, markup=False, emoji=False)
    console.print(terminal.explain(found, alarm))
    return out.getvalue()


def test_the_newest_revision_of_an_incident_is_told(tmp_path):
    alarms = [incident(summary="first"), incident(revision=2, summary="second")]
    assert [a.summary for a in read(put(tmp_path, alarms)).incidents] == ["second"]


def test_the_worst_comes_first_and_what_is_suppressed_last(tmp_path):
    alarms = [
        incident(0),
        incident(3, suppressed_by="scanner"),
        incident(2),
        incident(6),
    ]
    found = read(put(tmp_path, alarms)).incidents
    assert [a.start for a in found] == [alarms[n].start for n in (3, 2, 0, 1)]


def test_files_of_earlier_days_are_read_before_the_current_ones(tmp_path):
    put(tmp_path, [incident(state="open")], table(10, DAY - 600), ".2026-03-03")
    put(tmp_path, [incident(revision=2)], table(10))
    found = read(tmp_path)
    assert [a.state for a in found.incidents] == ["closed"]
    assert found.minutes["minute"].to_list() == [DAY - 600 + 60 * n for n in range(20)]


def test_a_range_takes_the_minutes_and_the_incidents_that_touch_it(tmp_path):
    put(tmp_path, [incident(0), incident(5)], table())
    found = read(tmp_path, DAY + 300 * 60, DAY + 341 * 60)
    assert [a.id for a in found.incidents] == [incident(5).id]
    assert len(found.minutes) == 41


def test_of_a_minute_told_twice_the_later_row_counts(tmp_path):
    twice = pd.concat([table(3), table(1).assign(flows=77)])
    assert read(put(tmp_path, [], twice)).minutes["flows"][0] == 77


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1]",
        "{}",
        "[" * 100_000,
        alarm_line(incident(id="../../etc/passwd"))[:-1],
        alarm_line(incident(severity="<b>"))[:-1],
        alarm_line(incident())[:-1].replace("2026-03-04T", "0001-01-01T", 1) + "x",
        json.dumps(as_dict(incident()) | {"start": "0001-01-01T00:00:00+23:59"}),
        json.dumps(as_dict(incident()) | {"score": "high"}),
    ],
)
def test_a_line_that_is_not_understood_is_counted_and_left_out(tmp_path, line):
    put(tmp_path, [incident(1)])
    with (tmp_path / "alarms.jsonl").open("a") as out:
        out.write(line + "\n")
    found = read(tmp_path)
    assert ([a.id for a in found.incidents], found.odd) == ([incident(1).id], 1)


def test_half_a_line_at_the_end_is_still_being_written(tmp_path):
    put(tmp_path, [incident(1)])
    with (tmp_path / "alarms.jsonl").open("a") as out:
        out.write(alarm_line(incident(2))[:80])
    found = read(tmp_path)
    assert (len(found.incidents), found.odd) == (1, 0)


def test_a_directory_above_the_sensors_is_refused_with_their_names(tmp_path):
    for name in ("dmz", "office"):
        (tmp_path / name).mkdir()
        put(tmp_path / name, [])
    with pytest.raises(InputError, match="one of its sensors: dmz, office"):
        read(tmp_path)


def test_a_directory_without_alarms_or_none_at_all_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="expected"):
            read(place)


def test_a_damaged_table_of_minutes_is_refused(tmp_path):
    put(tmp_path, [])
    (tmp_path / "minutes.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=r"minutes\.parquet: expected a table"):
        read(tmp_path)


def test_every_class_has_two_to_four_steps():
    assert set(NEXT_STEPS) == set(CLASSES)
    assert {len(steps) for steps in NEXT_STEPS.values()} <= {2, 3, 4}


def test_a_class_of_another_version_gets_the_steps_that_always_help():
    assert next_steps("hitherto-unknown") == NEXT_STEPS["unnamed-change"]


def test_every_technique_of_the_signatures_has_its_name():
    rules = parse_signatures(default_text())
    told = {technique(number) for rule in rules for number in rule.technique}
    assert all(re.fullmatch(r"T[\d.]+ \w.+ \(attack\.mitre.+\)", t) for t in told)


@pytest.mark.parametrize(
    ("alarms", "rows", "said"),
    [
        ([], None, "No minute was scored"),
        ([], 60, "Nothing unusual: no incident in 60 scored minutes"),
        ([incident(2, suppressed_by="x")], 60, "Nothing unusual"),
        ([incident(2)], 60, "1 incident to look at: 1 high; none still open"),
        ([incident(3, state="open"), incident(2)], 60, "1 critical, 1 high; 1 still"),
    ],
)
def test_the_headline_says_how_the_network_is(tmp_path, alarms, rows, said):
    put(tmp_path, alarms, None if rows is None else table(rows))
    assert said in words.headline(read(tmp_path))


def test_no_line_is_drawn_across_a_gap(tmp_path):
    put(tmp_path, [], table(10).drop(index=[4, 5, 6]))
    drawn = charts.charts(read(tmp_path))
    assert drawn["minute"][3:6] == [DAY + 180, DAY + 240, DAY + 420]
    assert drawn["score"][4] is None


def test_stretches_without_a_score_are_told(tmp_path):
    rows = table(10)
    rows.loc[[2, 3, 7], "score"] = None
    drawn = charts.charts(read(put(tmp_path, [], rows)))
    assert drawn["unscored"] == [(DAY + 120, DAY + 240), (DAY + 420, DAY + 480)]


def test_curves_are_of_different_features_around_the_incident(tmp_path):
    twin = deviation("resp_h.all.renyi.2")
    alarm = incident(deviations=(deviation(), twin, *map(deviation, COLUMNS[1:])))
    drawn = charts.charts(read(put(tmp_path, [alarm], table())))["curves"]
    assert list(drawn) == ["0-0", "0-1", "0-2"]
    assert (drawn["0-0"]["first"], len(drawn["0-0"]["values"])) == (0, 105)


def test_what_is_no_number_is_drawn_as_unknown(tmp_path):
    odd = deviation(low=float("nan"), high=float("inf"))
    found = read(put(tmp_path, [incident(deviations=(odd,))], table()))
    curve = charts.charts(found)["curves"]["0-0"]
    assert (curve["low"], curve["high"]) == (None, None)
    assert "unknown to unknown" in page(found)


def test_a_page_tells_all_of_an_incident(tmp_path):
    text = page(read(filled(tmp_path)))
    told = [
        "198.51.100.7",
        "812",
        "suppressed by rule",
        "score 3.00 × the threshold",
        "one host tries many hosts",
        "dns.log: 1 row",
        "gap: 1 time",
        "T1046 Network Service Discovery",
        NEXT_STEPS[incident(3).class_name][0],
    ]
    assert [each for each in told if each not in text] == []


def test_rows_of_evidence_are_capped_with_the_full_count_beside(tmp_path):
    alarm = incident()
    rows = [{"uid": f"C{n}z"} for n in range(50)]
    put(tmp_path, [alarm], table())
    evidence(tmp_path, alarm, {"conn": {"rows": rows, "count": 3276}})
    text = page(read(tmp_path))
    assert "conn.log: 3,276 rows, the first 25 of them here" in text
    assert ("C24z" in text, "C25z" in text) == (True, False)


@pytest.mark.parametrize("document", [[], {"conn": 5}, {"conn": {"rows": "x"}}, "x"])
def test_evidence_of_another_kind_is_left_out(tmp_path, document):
    put(tmp_path, [incident()])
    evidence(tmp_path, incident(), document)
    assert read(tmp_path).evidence(incident()) == Evidence()


def test_what_evidence_lacks_is_said(tmp_path):
    gone = {"ssh": {"rows": [], "count": 0, "missing": True}, "problems": ["torn"]}
    put(tmp_path, [incident()])
    evidence(tmp_path, incident(), gone)
    found = read(tmp_path)
    for text in (page(found), shown(found, found.incidents[0])):
        assert "Not there: ssh.log." in text and "torn" in text


def test_evidence_behind_a_link_is_not_followed(tmp_path):
    put(tmp_path, [incident()])
    evidence(tmp_path, incident(1), {"conn": {"rows": [], "count": 9}})
    folder = tmp_path / "evidence"
    (folder / f"{incident().id}.json").symlink_to(folder / f"{incident(1).id}.json")
    assert read(tmp_path).evidence(incident()) == Evidence()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_do_not_change_the_structure_of_the_page(tmp_path, text):
    plain, spoilt = tmp_path / "plain", tmp_path / "spoilt"
    for directory in (plain, spoilt):
        directory.mkdir()
    harmless = Parsed(page(read(filled(plain, "harmless"))))
    hostile = Parsed(page(read(filled(spoilt, text))))
    assert harmless.elements == hostile.elements


def test_what_could_steer_a_terminal_is_spelled_out(tmp_path):
    found = read(filled(tmp_path, HOSTILE[5]))
    for text in (page(found), shown(found, found.incidents[0])):
        assert (
            re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u202e\u2028\u2029]", text) is None
        )
        assert r"\u{202e}" in text


def test_nothing_but_hashed_scripts_and_styles_may_run(tmp_path):
    parsed = Parsed(page(read(filled(tmp_path))))
    told = set(re.findall(r"'sha256-([^']+)'", parsed.policy))
    texts = [*parsed.inside["style"], *parsed.inside["script"][1:]]
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    assert told == {base64.b64encode(digest).decode() for digest in digests}
    assert parsed.policy.startswith("default-src 'none'; base-uri 'none'")


def test_no_element_leads_outside_or_runs_by_itself(tmp_path):
    for tag, attrs in Parsed(page(read(filled(tmp_path)))).elements:
        assert tag not in ("iframe", "object", "embed", "base", "form", "img", "link")
        for name, value in attrs:
            assert name not in ("src", "style") and not name.startswith("on")
            assert name != "href" or re.fullmatch(r"#incident-\d+", value)


def test_no_text_ends_the_block_of_values_for_scripts():
    block = data_block("data", list(HOSTILE))
    assert [tag for tag, _ in Parsed(block).elements] == ["script"]
    (inside,) = Parsed(block).inside["script"]
    assert set("<>&\u2028\u2029").isdisjoint(inside)
    assert json.loads(inside) == list(HOSTILE)


def test_the_same_files_make_the_same_page(tmp_path):
    filled(tmp_path)
    assert page(read(tmp_path)) == page(read(tmp_path))


def test_a_report_is_not_written_through_a_link(tmp_path):
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "report.html").symlink_to(other)
    write(read(filled(tmp_path)), tmp_path / "report.html")
    assert other.read_text() == "mine"


def test_the_command_writes_the_page_beside_the_alarms(tmp_path):
    done = CliRunner().invoke(cli, ["report", str(filled(tmp_path))])
    assert (done.exit_code, done.output.split(":")[0]) == (0, "1 incident")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_explain_takes_the_beginning_of_an_id(tmp_path):
    alarm = incident(4)
    put(tmp_path, [incident(5), alarm])
    done = CliRunner().invoke(cli, ["explain", str(tmp_path), alarm.id[:6]])
    assert done.exit_code == 0
    assert done.output.startswith(f"{alarm.class_name}, {alarm.severity}")
    assert "what to do\n1. " in done.output


def test_explain_refuses_an_id_that_none_has(tmp_path, capsys):
    put(tmp_path, [incident()])
    with pytest.raises(SystemExit):
        main(["explain", str(tmp_path), "[red]\x1b"])
    assert "[red]" in (said := capsys.readouterr().err) and "\x1b" not in said


def test_what_a_column_would_be_inside_without_is_told_on_the_page_and_in_the_terminal(
    tmp_path,
):
    values = tuple(Removed(f"10.0.3.{n}", 40, 0.2, 0.0) for n in range(4))
    without = replace(deviation(COLUMNS[0]), removal=Removal("orig_h", values, 0.25))
    who = Contributor("orig_h", "all", "10.0.3.1", 40, 0.2, 0.0, (COLUMNS[0],))
    ids = ("1:abc=", "", "1:abc=")
    told = incident(0, deviations=(without,), contributors=(who,), community_ids=ids)
    found = read(put(tmp_path, [told]))
    for text in (page(found), shown(found, found.incidents[0])):
        assert "10.0.3.0, 10.0.3.1" in text
        assert all(part in text for part in ("(r 0.2)", "1 column", "1:abc="))
        assert "1 connection by Community ID" in text


def test_explain_shows_texts_as_they_are_not_as_markup(tmp_path):
    found = read(put(tmp_path, [incident(summary="[red]a[/red] :smile:")]))
    assert "[red]a[/red] :smile:" in shown(found, found.incidents[0])


def test_a_day_with_twenty_incidents_makes_a_page_of_less_than_8_mb(tmp_path):
    assert write(read(busy(tmp_path)), tmp_path / "report.html") < 8_000_000


def busy(directory: Path) -> Path:
    """Write a day with twenty incidents and all the evidence that is kept of each."""
    alarms = [incident(n, uids=("C" * 18,) * 100) for n in range(20)]
    row = dict.fromkeys(words.COLUMNS["conn"] + words.COLUMNS["http"], "x" * 60)
    log = {"rows": [row] * 50, "count": 5_000}
    for alarm in alarms:
        evidence(directory, alarm, dict.fromkeys(words.COLUMNS, log))
    return put(directory, alarms, table())


@pytest.fixture(scope="module")
def tab():
    if chromium.BINARY is None:
        pytest.skip("there is no Chromium here")
    with chromium.opened() as page:
        yield page


def visited(tab, path: Path, **how: object) -> float:
    """Open a page, draw all of its curves, and check that it keeps to itself."""
    tab.events.clear()
    took = tab.open(path, **how)
    tab.run("window.dispatchEvent(new Event('beforeprint'))")
    tab.run("window.dispatchEvent(new Event('afterprint'))")
    tab.run("document.querySelectorAll('button').forEach(one => one.click())")
    wrong = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    asked = tab.of_kind("Network.requestWillBeSent")
    assert tab.of_kind(*wrong) == []
    assert [each["request"]["url"] for each in asked] == [path.resolve().as_uri()]
    return took


def test_a_busy_day_opens_in_two_seconds_and_draws_everything(tab, tmp_path):
    write(read(busy(tmp_path)), tmp_path / "report.html")
    took = min(visited(tab, tmp_path / "report.html") for _ in range(2))
    assert took < 2.0
    count = "e => e.querySelectorAll('canvas').length"
    drawn = f"[...document.querySelectorAll('.chart')].map({count})"
    assert tab.run(drawn) == [1] * (2 + 20 * len(COLUMNS))


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_narrow_window_by_day_and_by_night(tab, tmp_path, dark):
    write(read(filled(tmp_path, HOSTILE[6] * 9)), tmp_path / "report.html")
    visited(tab, tmp_path / "report.html", width=400, dark=dark)
    assert tab.run("document.documentElement.scrollWidth") == 400
    light = tab.run("+getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (light < 128) == dark


def test_hostile_texts_run_nothing_in_a_browser(tab, tmp_path):
    write(read(filled(tmp_path, " ".join(HOSTILE))), tmp_path / "report.html")
    visited(tab, tmp_path / "report.html")
    hover = "e => e.dispatchEvent(new Event('mouseover'))"
    tab.run(f"document.querySelectorAll('*').forEach({hover})")
    assert tab.run("window.hit === undefined")


def test_zooming_to_an_incident_moves_both_curves(tab, tmp_path):
    write(read(put(tmp_path, [incident(9)], table())), tmp_path / "report.html")
    tab.events.clear()
    tab.open(tmp_path / "report.html")
    before = tab.run("document.querySelector('#flows canvas').toDataURL()")
    tab.run("document.querySelector('article button').click()")
    tab.run("new Promise(done => setTimeout(() => done(0), 50))")
    assert tab.run("document.querySelector('#flows canvas').toDataURL()") != before
