"""Figures for Prometheus, and a word on health, over HTTP.

All are read from the daemon's status at the moment they are asked for.
"""

from __future__ import annotations

import logging
import socket
import socketserver
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from entropy_ids.daemon.status import SensorStatus, Status, stale_s
from entropy_ids.errors import ConfigError

log = logging.getLogger(__name__)

PREFIX = "entropy_ids_"
_HEALTHY_S = 30.0
_REQUEST_S = 5.0
_WAKE_S = 0.5
Samples = Iterable[tuple[tuple[str, ...], float | None]]


@dataclass(frozen=True)
class Figure:
    """One metric of every sensor.

    ``of`` gives values by the labels beside ``sensor``; None, unknown, is left out.
    """

    name: str
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    help: str
    of: Callable[[SensorStatus], Samples]
    labels: tuple[str, ...] = ()


def _one(
    of: Callable[[SensorStatus], float | None],
) -> Callable[[SensorStatus], Samples]:
    return lambda sensor: [((), of(sensor))]


def _clock(sensor: SensorStatus) -> float | None:
    return None if sensor.minute is None else sensor.minute.timestamp()


FIGURES = (
    Figure("rows", CounterMetricFamily, "Rows read.", _one(lambda s: s.rows)),
    Figure(
        "quarantined_rows",
        CounterMetricFamily,
        "Rows that were not counted.",
        lambda s: [((why,), count) for why, count in s.quarantined.items()],
        ("reason",),
    ),
    Figure(
        "minutes", CounterMetricFamily, "Closed minutes.", _one(lambda s: s.minutes)
    ),
    Figure(
        "scored_minutes",
        CounterMetricFamily,
        "Closed minutes with a score.",
        _one(lambda s: s.scored),
    ),
    Figure(
        "alarms",
        CounterMetricFamily,
        "Incidents.",
        lambda s: [((name,), count) for name, count in s.alarms.items()],
        ("class",),
    ),
    Figure(
        "incidents_open",
        GaugeMetricFamily,
        "Incidents that still run.",
        _one(lambda s: s.incidents_open),
    ),
    Figure(
        "log_clock_timestamp_seconds",
        GaugeMetricFamily,
        "Last closed minute of the log clock.",
        _one(_clock),
    ),
    Figure(
        "lag_seconds",
        GaugeMetricFamily,
        "Wall clock less log clock.",
        _one(lambda s: s.lag_s),
    ),
    Figure(
        "behind_bytes",
        GaugeMetricFamily,
        "Unread bytes.",
        _one(lambda s: s.behind_bytes),
    ),
    Figure(
        "score",
        GaugeMetricFamily,
        "Score of the last scored minute.",
        _one(lambda s: s.score),
    ),
    Figure(
        "threshold",
        GaugeMetricFamily,
        "Score above which a minute is an alarm.",
        _one(lambda s: s.threshold),
    ),
    Figure(
        "problems",
        GaugeMetricFamily,
        "Problems that status tells of.",
        _one(lambda s: len(s.problems)),
    ),
    Figure(
        "packet_loss_percent",
        GaugeMetricFamily,
        "Of what was acknowledged, the share that Zeek missed.",
        _one(lambda s: s.loss_percent),
    ),
)


class StatusCollector(Collector):
    """Turn the daemon's status into metrics at each scrape."""

    def __init__(self, status_of: Callable[[], Status]) -> None:
        self._status_of = status_of

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: there may be no status yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give all metrics of the daemon and its sensors."""
        status = self._status_of()
        yield from _of_daemon(status)
        for figure in FIGURES:
            family = figure.kind(
                PREFIX + figure.name, figure.help, labels=("sensor", *figure.labels)
            )
            for sensor in status.sensors:
                for labels, value in figure.of(sensor):
                    if value is not None:
                        family.add_metric((sensor.name, *labels), value)
            yield family


def _of_daemon(status: Status) -> Iterator[Metric]:
    yield InfoMetricFamily(
        PREFIX + "build", "What runs.", value={"version": status.version}
    )
    yield GaugeMetricFamily(
        PREFIX + "poll_seconds", "Duration of the last poll.", status.poll_took_s
    )
    if status.checkpoint_age_s is not None:
        yield GaugeMetricFamily(
            PREFIX + "checkpoint_timestamp_seconds",
            "Time of the last checkpoint.",
            status.time.timestamp() - status.checkpoint_age_s,
        )


def health(status: Status, now: datetime) -> str | None:
    """Give None when the logs were looked at lately, else the sentence that says not.

    Lately is within 30 seconds and 10 polls. What the sensors send is not asked.
    """
    age_s = (now - status.last_poll).total_seconds()
    most_s = stale_s(status, _HEALTHY_S)
    if age_s <= most_s:
        return None
    return f"expected a poll within {most_s:.0f} s, found the last {age_s:.0f} s ago"


class Server:
    """Answer ``/metrics`` and ``/healthz`` in one thread of its own until closed.

    Requests are answered one after the other; who sends nothing for five seconds is
    dropped. There is no password and no encryption: beyond loopback everyone who
    reaches the port can read what it tells.
    """

    def __init__(self, listen: str, status_of: Callable[[], Status]) -> None:
        registry = CollectorRegistry()
        registry.register(StatusCollector(status_of))
        ProcessCollector(registry=registry)
        self._http = _bound(listen)
        self._http.registry = registry
        self._http.status_of = status_of
        self._thread = Thread(
            target=self._http.serve_forever,
            args=(_WAKE_S,),
            name="metrics",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it answers on."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Answer no more, and free the port."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def serve(listen: str, status_of: Callable[[], Status]) -> Server:
    """Serve metrics and health at ``host:port``; close the server when done.

    Parameters
    ----------
    listen
        As the setting ``daemon.listen``; port 0 takes any free one.
    status_of
        Gives the status of now; called in the server's thread.

    Raises
    ------
    ConfigError
        When nothing can listen there.
    """
    return Server(listen, status_of)


class _Http(socketserver.TCPServer):
    allow_reuse_address = True
    registry: CollectorRegistry
    status_of: Callable[[], Status]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a request could not be answered for."""
        log.warning("daemon.listen: a request could not be answered", exc_info=True)


class _Http6(_Http):
    address_family = socket.AF_INET6


def _bound(listen: str) -> _Http:
    host, _, port = listen.rpartition(":")
    kind = _Http6 if host.startswith("[") else _Http
    try:
        return kind((host.strip("[]"), int(port)), _Handler)
    except OSError as err:
        raise ConfigError(
            f"daemon.listen {listen}: expected an address to listen on, found: "
            f"{err.strerror or err}"
        ) from err


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = _REQUEST_S
    server_version = "entropy-ids"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the two pages."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            page = generate_latest(self.server.registry)
            self._answer(200, page, CONTENT_TYPE_LATEST)
        elif path == "/healthz":
            sick = health(self.server.status_of(), datetime.now(UTC))
            self._answer(503 if sick else 200, f"{sick or 'ok'}\n".encode())
        else:
            self._answer(404, b"expected /metrics or /healthz\n")

    def _answer(self, code: int, page: bytes, kind: str = "text/plain") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the log."""
