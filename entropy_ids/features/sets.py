"""Sets of features: which logs are read, and which columns are measured of them.

What the source says: an LSTM forecasts multivariate series of network traffic, and the
use cases are DDoS, failed logins and DNS exfiltration. It names no columns.

What we do: one set of columns for each, over the log that tells of it, in the same
minutes; any detector learns them. ``conn`` is read for every set: it tells which
minutes there are and what is known of them, while a sparse log alone would be silent
most of the time.

Notes
-----
The columns are ours, all of them. Those of other logs than conn are of the whole site,
without directions; a row counts in the minute of its own log's clock (a query when it
is answered, a login when it began). Where conn has a minute and another log no rows,
its sizes are 0 and its entropies unknown: whether Zeek wrote that log at all is not
told apart, so that a sensor should write the logs of its set all the time.

On two generated days with captured attacks laid over them, of 2,470 minutes without an
attack none has more than 4 failures, or more than 11 names of one source and domain.
Captured guesses peak at 26 to 949 failures a minute or, where Zeek cannot tell, at 56
undecided logins; captured tunnels at 56 and 311 names.

References
----------
.. [1] JASK: Time Series Anomaly Detection in Network Traffic: A Use Case for Deep
   Neural Networks (the company's blog).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from entropy_ids.features.catalog import Column, default_columns

Make = Callable[[str], list[Column]]
"""Gives columns, by the kind of their raw entropies."""
INVARIANT = (0.0, 1.0, 2.0)
"""The orders of volume-invariant entropies."""


@dataclass(frozen=True)
class FeatureSet:
    """What is read and measured.

    Attributes
    ----------
    logs
        The logs that are read, conn first.
    makes
        What its own columns are made by; their raw entropies have orders 1 and 2.
    default
        Whether it has the default columns, too.
    """

    logs: tuple[str, ...]
    makes: tuple[Make, ...] = ()
    default: bool = False

    def columns(self, kind: str, alphas: Iterable[float]) -> list[Column]:
        """Give the columns, each once.

        Parameters
        ----------
        kind
            The raw entropies: ``renyi`` or ``tsallis``.
        alphas
            Their orders in the default columns.
        """
        columns = default_columns(kind, alphas) if self.default else []
        own = [column for make in self.makes for column in make(kind)]
        return list(dict.fromkeys(columns + own))


def _shapes(features: Iterable[str], kind: str) -> list[Column]:
    """Give raw entropies of features, and the volume-invariant one of order 1."""
    how = ((kind, 1.0), (kind, 2.0), ("rarefied", 1.0))
    return [Column(feature, "all", *one) for feature in features for one in how]


def _sizes(features: Iterable[str], direction: str = "all") -> list[Column]:
    return [Column(feature, direction, "log2") for feature in features]


def _ddos(kind: str) -> list[Column]:
    """Give volumes, who floods whom, and how alike it is; inbound besides."""
    ends = ("orig_h", "resp_h", "orig_p", "resp_p")
    kinds = ("proto", "service", "conn_state", "duration")
    sizes = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
    volumes = ("flows", "bytes", "sent")
    largest = ("max_orig_h", "max_resp_h", "max_pair", "max_bytes", "fan_in")
    columns = _sizes((*volumes, *largest))
    columns += _shapes(ends, kind)
    columns += [Column(f, "all", "rarefied", a) for f in ends for a in (0.0, 2.0)]
    columns += [Column(f, "all", "rarefied", 1.0) for f in (*kinds, *sizes)]
    columns += [Column("in_degree", "all", kind, a) for a in (1.0, 2.0)]
    columns += _sizes((*volumes, "max_resp_h", "fan_in"), "inbound")
    columns += [
        Column(feature, "inbound", "rarefied", alpha)
        for feature in ("orig_h", "resp_h", "resp_p")
        for alpha in INVARIANT
    ]
    return columns


def _logins(kind: str) -> list[Column]:
    """Give logins and failures, by source, target and account."""
    volumes = ("attempts", "tries", "failures", "successes", "undecided")
    largest = (
        "max_attempts",
        "max_login_resp_h",
        "max_login_pair",
        "max_failures",
        "max_failed_resp_h",
        "max_failed_account",
        "max_accounts",
        "max_login_sources",
        "max_login_targets",
        "max_login_fan_in",
    )
    asked = ("login_orig_h", "login_resp_h", "account", "outcome", "login_service")
    failed = ("failed_orig_h", "failed_resp_h", "failed_account")
    columns = _sizes((*volumes, *largest, "logins", "flows"))
    return columns + _shapes((*asked, *failed), kind)


def _queries(kind: str) -> list[Column]:
    """Give queries, how they look, and the most of one source and domain."""
    volumes = ("queries", "query_bytes", "nxdomain", "dns_errors", "carriers")
    largest = (
        "max_queries",
        "max_domains",
        "max_domain",
        "max_names",
        "max_query_bytes",
        "max_nxdomain",
        "max_dns_errors",
        "max_carriers",
    )
    ends = ("dns_orig_h", "domain", "query")
    looks = ("qtype", "rcode", "query_length", "query_entropy")
    weighted = ("domain_bytes", "domain_names")
    columns = _sizes((*volumes, *largest, "flows", "bytes"))
    columns += _shapes((*ends, *looks), kind)
    columns += [Column(f, "all", "rarefied", a) for f in ends for a in (0.0, 2.0)]
    return columns + [Column(f, "all", kind, a) for f in weighted for a in (1.0, 2.0)]


_LOGIN_LOGS = ("ssh", "http", "kerberos", "smtp", "ftp")
SETS: dict[str, FeatureSet] = {
    "conn": FeatureSet(("conn",), default=True),
    "ddos": FeatureSet(("conn",), (_ddos,)),
    "failed-logins": FeatureSet(("conn", *_LOGIN_LOGS), (_logins,)),
    "dns-exfiltration": FeatureSet(("conn", "dns"), (_queries,)),
    "everything": FeatureSet(
        ("conn", "dns", *_LOGIN_LOGS), (_logins, _queries), default=True
    ),
}
"""The feature sets by name (``features.set``)."""
