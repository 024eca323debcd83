"""What Prometheus and a health check are told, and the dashboard that shows it."""

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from entropy_ids.config import Config
from entropy_ids.daemon import metrics
from entropy_ids.daemon.metrics import Server, StatusCollector, health, serve
from entropy_ids.daemon.status import SensorStatus, Status, moment
from entropy_ids.errors import ConfigError

EXAMPLES = Path(__file__).parents[1] / "examples"
NOW = moment(1_732_279_263)
EAST = SensorStatus(
    "east",
    "watching",
    NOW,
    lag_s=3.0,
    behind_bytes=11,
    rows=8,
    quarantined={"fields": 2, 'a "quoted"\nreason': 1},
    minutes=5,
    scored=4,
    score=1.5,
    threshold=2.5,
    incidents=3,
    incidents_open=1,
    alarms={"port-scan": 2, "dos": 1},
    loss_percent=0.5,
    problems=("a link leads nowhere",),
)
NEW = SensorStatus("new", "learning")
STATUS = Status(
    "1.0", 7, NOW, NOW, 1.0, NOW, 0.25, checkpoint_age_s=4.0, sensors=(EAST, NEW)
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(status: Status) -> Samples:
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: status))
    return samples(generate_latest(registry).decode())


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((f"entropy_ids_{name}", frozenset(labels.items())))


@pytest.fixture
def server() -> Iterator[Server]:
    fresh = replace(STATUS, last_poll=moment(4e9))
    one = serve("127.0.0.1:0", lambda: fresh)
    yield one
    one.close()


def get(server: Server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, problem.read().decode()


@pytest.mark.parametrize(
    ("name", "labels", "wanted"),
    [
        ("rows_total", {}, 8),
        ("quarantined_rows_total", {"reason": "fields"}, 2),
        ("quarantined_rows_total", {"reason": 'a "quoted"\nreason'}, 1),
        ("minutes_total", {}, 5),
        ("scored_minutes_total", {}, 4),
        ("alarms_total", {"class": "port-scan"}, 2),
        ("alarms_total", {"class": "dos"}, 1),
        ("incidents_open", {}, 1),
        ("log_clock_timestamp_seconds", {}, NOW.timestamp()),
        ("lag_seconds", {}, 3),
        ("behind_bytes", {}, 11),
        ("score", {}, 1.5),
        ("threshold", {}, 2.5),
        ("problems", {}, 1),
        ("packet_loss_percent", {}, 0.5),
    ],
)
def test_every_figure_of_a_sensor_is_exported(name, labels, wanted):
    assert value(scraped(STATUS), name, sensor="east", **labels) == wanted


def test_what_is_true_of_the_daemon_is_exported_without_a_sensor():
    found = scraped(STATUS)
    assert value(found, "build_info", version="1.0") == 1
    assert value(found, "poll_seconds") == 0.25
    assert value(found, "checkpoint_timestamp_seconds") == NOW.timestamp() - 4


def test_what_is_unknown_is_left_out_and_what_is_zero_is_not():
    found = scraped(replace(STATUS, checkpoint_age_s=None))
    assert value(found, "checkpoint_timestamp_seconds") is None
    unknown = ("score", "threshold", "lag_seconds", "log_clock_timestamp_seconds")
    assert [value(found, name, sensor="new") for name in unknown] == [None] * 4
    assert value(found, "rows_total", sensor="new") == 0


def test_every_scrape_asks_for_the_status_of_now():
    statuses = iter(
        replace(STATUS, sensors=(replace(EAST, rows=rows),)) for rows in (1, 2)
    )
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: next(statuses)))
    pages = [samples(generate_latest(registry).decode()) for _ in range(2)]
    assert [value(page, "rows_total", sensor="east") for page in pages] == [1, 2]


def test_the_server_gives_the_figures_and_those_of_its_process(server):
    code, page = get(server, "/metrics?name=x")
    found = samples(page)
    assert code == 200
    assert value(found, "rows_total", sensor="east") == 8
    assert found["process_resident_memory_bytes", frozenset()] > 0


def test_other_pages_are_not_found(server):
    assert get(server, "/") == (404, "expected /metrics or /healthz\n")


def test_a_daemon_that_polls_is_healthy(server):
    assert get(server, "/healthz") == (200, "ok\n")


def test_a_daemon_that_polled_long_ago_is_not_and_says_so():
    server = serve("127.0.0.1:0", lambda: STATUS)
    code, page = get(server, "/healthz")
    server.close()
    assert code == 503
    assert re.match(r"expected a poll within 30 s, found the last \d+ s ago\n", page)


@pytest.mark.parametrize(("poll_s", "most_s"), [(1.0, 30), (10.0, 100)])
def test_a_poll_is_late_after_thirty_seconds_and_ten_polls(poll_s, most_s):
    status = replace(STATUS, poll_s=poll_s)
    assert health(status, NOW + timedelta(seconds=most_s)) is None
    assert health(status, NOW + timedelta(seconds=most_s + 1)) is not None


def test_a_client_that_sends_nothing_does_not_keep_others_out(monkeypatch):
    monkeypatch.setattr(metrics._Handler, "timeout", metrics._Handler.timeout / 25)
    server = serve("127.0.0.1:0", lambda: STATUS)
    with socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/metrics")[0] == 200
    server.close()


def test_a_page_that_fails_leaves_the_server_alive_and_a_line_in_the_log(caplog):
    def fail() -> Status:
        raise RuntimeError("no status")

    answers: Iterator[Callable[[], Status]] = iter([fail, lambda: STATUS])
    server = serve("127.0.0.1:0", lambda: next(answers)())
    with pytest.raises(OSError, match="closed connection"):
        get(server, "/metrics")
    assert get(server, "/metrics")[0] == 200
    server.close()
    assert "a request could not be answered" in caplog.text


def test_a_closed_server_leaves_no_thread_and_frees_its_port():
    before = threading.active_count()
    server = serve("127.0.0.1:0", lambda: STATUS)
    assert threading.active_count() == before + 1
    server.close()
    assert threading.active_count() == before
    serve(f"127.0.0.1:{server.port}", lambda: STATUS).close()


def test_by_default_only_this_machine_is_answered():
    host = Config.load(environment={})["daemon.listen"].rpartition(":")[0]
    assert host == "127.0.0.1"


def test_the_other_internet_protocol_is_spoken():
    try:
        server = serve("[::1]:0", lambda: STATUS)
    except ConfigError:
        pytest.skip("This machine has no IPv6 loopback.")
    with socket.create_connection(("::1", server.port)):
        server.close()


def test_an_address_in_use_is_refused(server):
    listen = f"127.0.0.1:{server.port}"
    with pytest.raises(ConfigError, match=rf"daemon\.listen {listen}: .*in use"):
        serve(listen, lambda: STATUS)


def test_the_dashboard_shows_only_metrics_that_are_exported_and_all_of_them():
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    assert dashboard["schemaVersion"] >= 39
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    shown = {name for expr in asked for name in re.findall(r"entropy_ids_\w+", expr)}
    assert shown == {name for name, _ in scraped(STATUS)}


def test_the_panels_of_the_dashboard_do_not_overlap():
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    cells = [
        (place["x"] + dx, place["y"] + dy)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for dx in range(place["w"])
        for dy in range(place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
