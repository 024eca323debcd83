"""The catalog: what is counted, which features are seen in it, and the default columns.

A feature is one row of `FEATURES`; a column is a feature seen in one direction through
one statistic. How counts are made is left to `entropy_ids.features.counting`; features
of other logs than conn stand where these are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from entropy_ids.errors import ConfigError
from entropy_ids.features.feature import Feature as Feature
from entropy_ids.features.logins import LOGIN_FEATURES
from entropy_ids.features.queries import QUERY_FEATURES
from entropy_ids.types import DIRECTIONS

LOGIN_PORTS = (21, 22, 23, 2222, 1433, 3306, 3389, 5432, 5900)
"""FTP, SSH, Telnet, databases, remote desktops: where passwords are guessed."""
PAIR = ("id.orig_h", "id.resp_h")
_SRC, _DST = PAIR[:1], PAIR[1:]
_PORT = ("id.resp_p", "proto")

FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("orig_h", "talk", _SRC, "source address"),
        Feature("resp_h", "talk", _DST, "destination address"),
        Feature("resp_p", "talk", _PORT, "destination port with its protocol"),
        Feature("orig_p", "orig_p", ("id.orig_p",), "source port"),
        Feature("service", "service", ("service",), "service that Zeek recognised"),
        Feature("proto", "proto", ("proto",), "transport protocol"),
        Feature("conn_state", "conn_state", ("conn_state",), "connection state"),
        Feature("duration", "duration", ("duration",), "duration, log2 bins of ms"),
        Feature("orig_bytes", "orig_bytes", ("orig_bytes",), "bytes sent, log2 bins"),
        Feature(
            "resp_bytes", "resp_bytes", ("resp_bytes",), "bytes received, log2 bins"
        ),
        Feature("orig_pkts", "orig_pkts", ("orig_pkts",), "packets sent, log2 bins"),
        Feature(
            "resp_pkts", "resp_pkts", ("resp_pkts",), "packets received, log2 bins"
        ),
        Feature("orig_h_bytes", "talk", _SRC, "source address by bytes", "bytes"),
        Feature("resp_h_bytes", "talk", _DST, "destination address by bytes", "bytes"),
        Feature(
            "out_degree", "talk", _SRC, "source address by distinct peers", "peers"
        ),
        Feature("in_degree", "talk", _DST, "destination by distinct peers", "peers"),
        Feature(
            "max_orig_h", "talk", _SRC, "most flows of one source", "flows", "largest"
        ),
        Feature(
            "max_resp_h",
            "talk",
            _DST,
            "most flows to one destination",
            "flows",
            "largest",
        ),
        Feature("max_pair", "talk", PAIR, "most flows of one pair", "flows", "largest"),
        Feature(
            "max_bytes", "talk", PAIR, "most bytes of one pair", "bytes", "largest"
        ),
        Feature(
            "fan_out", "talk", _SRC, "most peers of one source", "peers", "largest"
        ),
        Feature("fan_in", "talk", _DST, "most peers of one target", "peers", "largest"),
        Feature(
            "pair_ports", "talk", PAIR, "most ports of one pair", "ports", "largest"
        ),
        Feature(
            "max_sent", "talk", PAIR, "most bytes sent to one peer", "sent", "largest"
        ),
        Feature("flows", "talk", (), "connections", "flows", "volume"),
        Feature(
            "logins",
            "talk",
            (),
            "connections to login ports",
            "flows",
            "volume",
            LOGIN_PORTS,
        ),
        Feature("bytes", "talk", (), "bytes both ways", "bytes", "volume"),
        Feature("sent", "talk", (), "bytes sent by originators", "sent", "volume"),
        *QUERY_FEATURES,
        *LOGIN_FEATURES,
    )
}

NAMED = (
    "orig_h",
    "orig_net",
    "resp_h",
    "resp_p",
    "service",
    "conn_state",
    "orig_h_bytes",
    "resp_h_bytes",
    "resp_bytes",
)
"""What the values of a minute are named by. ``orig_net`` is the source's network (IPv4
/16, IPv6 /32): in a flood from everywhere no address stands out, but networks may."""
NAMED_BESIDE = ("dns_orig_h", "domain", "login_orig_h", "account")
"""What they are named by besides, where the log that has it is read."""

STATISTICS = ("renyi", "tsallis", "rarefied", "log2")
_UNITS = {
    "renyi": "bits",
    "tsallis": "nats-like",
    "rarefied": "bits",
    "log2": "log2(1+x)",
}


@dataclass(frozen=True)
class Column:
    """A feature seen in one direction through one statistic.

    Attributes
    ----------
    statistic
        ``renyi``, ``tsallis`` (raw entropies), ``rarefied`` (volume-invariant), or
        ``log2`` of a largest weight or a volume.
    alpha
        The entropy's order; None for ``log2``.

    Examples
    --------
    >>> Column("resp_p", "inbound", "rarefied", 1.0).name
    'resp_p.inbound.rarefied.1'
    >>> Column.named("resp_p.all.renyi.-2").alpha
    -2.0
    """

    feature: str
    direction: str
    statistic: str
    alpha: float | None = None

    @property
    def name(self) -> str:
        """The column's name in tables and profiles."""
        place = f"{self.feature}.{self.direction}.{self.statistic}"
        if self.alpha is None:
            return place
        return f"{place}.{float(self.alpha)!r}".removesuffix(".0")

    @property
    def unit(self) -> str:
        """The unit of its values."""
        return _UNITS[self.statistic]

    @property
    def resolution(self) -> float:
        """The least difference worth telling apart, in its unit."""
        return {"tsallis": 0.01, "log2": 0.5}.get(self.statistic, 0.1)

    @staticmethod
    def named(name: str) -> Column:
        """Give the column of that name.

        Raises
        ------
        ConfigError
            When the name is none of this catalog's.
        """
        found = re.fullmatch(r"(\w+)\.(\w+)\.(\w+)(?:\.(.+))?", name)
        try:
            if found is None:
                raise ValueError
            feature, direction, statistic, order = found.groups()
            column = Column(
                feature, direction, statistic, None if order is None else float(order)
            )
        except ValueError:
            column = Column("", "", "")
        kind = FEATURES[column.feature].kind if column.feature in FEATURES else None
        entropy = column.statistic != "log2"
        if (
            kind is None
            or column.direction not in DIRECTIONS
            or column.statistic not in STATISTICS
            or entropy != (kind == "distribution")
            or entropy != (column.alpha is not None)
            or column.alpha != column.alpha  # NaN
            or (column.statistic == "rarefied" and column.alpha not in (0, 1, 2))
        ):
            raise ConfigError(
                f"column {name!r}: expected feature.direction.statistic.alpha with a "
                f"feature of {', '.join(FEATURES)}; check its spelling"
            )
        return column


def default_columns(
    kind: str = "renyi", alphas: Iterable[float] = (-2, -1, 0, 1, 2)
) -> list[Column]:
    """Give the default columns: at most 100, raw and volume-invariant, per direction.

    Parameters
    ----------
    kind
        The raw entropies: ``renyi`` or ``tsallis``.
    alphas
        Their orders, for addresses and ports; other features take 1 and 2.
    """
    main = ("orig_h", "resp_h", "orig_p", "resp_p")
    columns = [Column(f, "all", kind, float(a)) for f in main for a in alphas]
    columns += [Column(f, "all", "rarefied", a) for f in main for a in (0.0, 1.0, 2.0)]
    shape = ("service", "conn_state", "duration", "orig_bytes", "resp_bytes")
    columns += [Column(f, "all", "rarefied", 1.0) for f in (*shape, "proto")]
    columns += [Column(f, "all", kind, a) for f in shape[:2] for a in (1.0, 2.0)]
    weighted = ("orig_h_bytes", "resp_h_bytes", "out_degree", "in_degree")
    columns += [Column(f, "all", kind, a) for f in weighted for a in (1.0, 2.0)]
    largest = (
        "max_orig_h",
        "max_resp_h",
        "max_pair",
        "fan_out",
        "fan_in",
        "pair_ports",
    )
    columns += [
        Column(f, "all", "log2")
        for f in (*largest, "flows", "logins", "bytes", "max_bytes")
    ]
    for direction in DIRECTIONS[1:]:
        columns.append(Column("flows", direction, "log2"))
        columns += [
            Column(feature, direction, "rarefied", alpha)
            for feature in ("orig_h", "resp_h", "resp_p")
            for alpha in (0.0, 1.0, 2.0)
        ]
        columns += [
            Column(feature, direction, "log2")
            for feature in ("bytes", "fan_out", "pair_ports")
        ]
    leaving = ("sent", "max_sent")
    columns = [c for c in columns if (c.feature, c.direction) != ("bytes", "outbound")]
    return columns + [Column(feature, "outbound", "log2") for feature in leaving]
