"""Real attacks, captured in a lab and logged by a real Zeek, to be laid over traffic.

A capture is a directory: ``conn.log`` and sibling logs as Zeek TSV, and ``label.json``,
which says at least ``class``, ``attackers`` and ``victims``.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network, summarize_address_range
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from entropy_ids.errors import ConfigError, InputError
from entropy_ids.simulate.flows import HINTS, Logs, schema, uids, written
from entropy_ids.simulate.labels import Label
from entropy_ids.simulate.logs import LOGS
from entropy_ids.simulate.placed import Placed, Plan
from entropy_ids.simulate.rename import HOSTS, Network, plain, renamed

#: Classes of the lab, and of our alarms.
CLASSES: Final = {
    "vertical_scan": "port-scan",
    "udp_scan": "port-scan",
    "horizontal_scan": "network-scan",
    "ping_sweep": "network-scan",
    "worm": "worm",
    "syn_flood_one_source": "dos",
    "syn_flood_many_sources": "ddos",
    "udp_amplification": "ddos",
    "udp_flood": "ddos",
    "icmp_flood": "ddos",
    "dns_flood": "ddos",
    "http_flood": "ddos",
    "ssh_brute_force": "brute-force",
    "http_login_brute_force": "brute-force",
    "dns_tunnel": "dns-tunnel",
    "exfiltration": "exfiltration",
    "spam_run": "point-to-multipoint",
    "flash_crowd": "flash-crowd",
    "c2_beacon": "beacon",
    "backscatter": "backscatter",
}
BENIGN: Final = "benign"  # ordinary traffic of the lab: nothing to place

#: From the lab's addresses to those of the generated site. The lab's clients become
#: workstations that the site's own traffic never comes from, so that labels are exact.
PLAN: Final[Mapping[str, str]] = {
    "10.99.0.10": "203.0.113.10",
    "10.99.0.22": "203.0.113.11",
    "10.99.0.25": "203.0.113.25",
    "10.99.0.53": "10.20.0.53",
    "10.99.0.0/24": "10.20.0.0/24",
    "10.99.1.0/24": "10.20.3.0/24",
    "10.99.2.0/23": "10.20.6.0/23",
    "10.98.0.0/16": "198.19.0.0/16",
}
BATCH_S: Final = 0.5  # Zeek hands its lines over once a second
_NEEDED: Final = ("ts", "uid", *HOSTS)
_HOSTS: Final = re.compile(r"([\da-fA-F.:]+)(?:(/\d+)|-([\d.]+))?(?:\s.*)?")


@dataclass(frozen=True)
class Capture:
    """One attack as it was logged: its own rows, of the logs that the simulator writes.

    The label's times are those of the rows: begin of the first, end of the last.
    """

    logs: Logs
    label: Label


def read_captures(directory: Path) -> list[Capture]:
    """Read a capture, or all captures in a directory; benign ones are passed over.

    Raises
    ------
    InputError
        If there is none, or one lacks its ``label.json`` or cannot be read.
    """
    if (directory / "label.json").is_file():
        return list(_read(directory))
    folders = sorted(path.parent for path in directory.glob("*/conn.log"))
    found = [capture for folder in folders for capture in _read(folder)]
    if not found:
        raise InputError(
            f"{directory}: expected captures, each a directory with conn.log and "
            "label.json, found none; check the path"
        )
    return found


def place(
    capture: Capture,
    start: float,
    *,
    scale: float = 1.0,
    seed: int,
    rename: Mapping[str, str] = PLAN,
) -> Placed:
    """Lay a capture at a time, on a site's addresses.

    Parameters
    ----------
    start
        Epoch s at which its first connection begins.
    scale
        Probability with which each connection is kept, above 0, at most 1; at least
        one is kept.
    seed
        Decides which connections are kept, their new uids, and when Zeek writes them.
    rename
        See :func:`rename.renamed`.
    """
    if not 0 < scale <= 1:
        raise ConfigError(
            f"expected scales above 0 and at most 1, found {scale:g}: give the share "
            "of connections to keep"
        )
    rng = np.random.default_rng(seed)
    shift = start - capture.label.start
    conn = _thinned(capture.logs["conn"], scale, rng)
    known = conn["uid"].unique(maintain_order=True)
    fresh = pl.DataFrame({"uid": known, "fresh": uids(rng, len(known))})
    logs = capture.logs | {"conn": conn}
    logs = {log: _moved(rows, fresh, shift) for log, rows in logs.items()}
    logs["conn"] = logs["conn"].with_columns(written=written(rng, len(conn)))
    ends = logs["conn"].select("uid", end="written").unique("uid")
    logs |= {log: _timed(logs[log], ends) for log in logs if log != "conn"}
    label = replace(
        capture.label,
        start=start,
        end=capture.label.end + shift,
        scale=scale,
    )
    return renamed(Placed(logs, label), rename)


def every_capture(directory: Path, scales: Sequence[float]) -> list[Plan]:
    """Plan every capture of a directory once at each scale."""
    captures = read_captures(directory)
    return [_plan(capture, scale) for capture in captures for scale in scales]


def _plan(capture: Capture, scale: float) -> Plan:
    duration_s = capture.label.end - capture.label.start
    return Plan(
        duration_s, lambda start, seed: place(capture, start, scale=scale, seed=seed)
    )


def _thinned(
    conn: pl.DataFrame, scale: float, rng: np.random.Generator
) -> pl.DataFrame:
    kept = rng.random(len(conn)) < scale
    kept[rng.integers(len(conn))] |= not kept.any()
    return conn.filter(pl.Series(kept))


def _moved(rows: pl.DataFrame, fresh: pl.DataFrame, shift: float) -> pl.DataFrame:
    """Move rows in time and give them new uids; rows of other connections go."""
    kept = rows.join(fresh, on="uid", how="inner", maintain_order="left")
    return kept.with_columns((pl.col("ts") + shift).round(6), uid="fresh").drop("fresh")


def _timed(rows: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Say when Zeek writes sibling rows: in their order, before the connection's."""
    soon = pl.col("ts").cum_max() + BATCH_S
    rows = rows.join(ends, on="uid", how="left", maintain_order="left")
    return rows.with_columns(written=pl.min_horizontal(soon, "end")).drop("end")


def _read(folder: Path) -> Iterator[Capture]:
    """Read one capture; nothing if it is benign."""
    told = _label(folder / "label.json")
    if told["class"] == BENIGN:
        return
    logs = {
        log: _table(folder / f"{log}.log", log)
        for log in LOGS
        if log == "conn" or (folder / f"{log}.log").is_file()
    }
    attackers, victims = (
        _networks(told[side], folder) for side in ("attackers", "victims")
    )
    conn = logs["conn"] = _between(logs["conn"], attackers)
    if conn.is_empty():
        raise InputError(
            f"{folder}: expected rows of the attackers {' '.join(attackers)}, found "
            "none in conn.log; correct label.json"
        )
    ends = conn["ts"] + conn["duration"].fill_null(0.0)
    label = Label(
        conn["ts"].to_numpy().min(),
        ends.to_numpy().max(),
        CLASSES[told["class"]],
        attackers,
        (*victims, *_others(conn, (*attackers, *victims))),
        str(told.get("name", folder.name)),
    )
    yield Capture(logs, label)


def _label(path: Path) -> dict[str, Any]:
    """Read label.json, and see that it says what is needed."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as err:
        found = getattr(err, "strerror", None) or str(err)
        raise InputError(
            f"{path}: expected a JSON object that describes the capture, found: {found}"
        ) from err
    said = told if isinstance(told, dict) else {}
    lists = isinstance(said.get("attackers"), list) & isinstance(
        said.get("victims"), list
    )
    if not lists or said.get("class") not in (*CLASSES, BENIGN):
        raise InputError(
            f"{path}: expected lists of attackers and victims, and a class of "
            f"{', '.join(CLASSES)}, found {said}; correct it"
        )
    return said


def _networks(texts: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Read what label.json calls hosts: addresses, networks, ranges; then a remark."""
    networks = list[str]()
    for text in texts:
        try:
            networks += map(plain, _network(text))
        except ValueError as err:
            raise InputError(
                f"{folder / 'label.json'}: expected addresses, networks such as "
                f"10.98.0.0/17 or ranges such as 10.98.20.1-200, found {text!r}"
            ) from err
    return tuple(networks)


def _network(text: str) -> Iterable[Network]:
    found = _HOSTS.fullmatch(str(text))
    if not found:
        raise ValueError(text)
    address, size, tail = found.groups()
    if not tail:
        return [ip_network(address + (size or ""), strict=False)]
    kept = address.split(".")[: -1 - tail.count(".")]
    last = IPv4Address(".".join([*kept, tail]))
    return summarize_address_range(IPv4Address(address), last)


def _between(conn: pl.DataFrame, attackers: tuple[str, ...]) -> pl.DataFrame:
    """Keep the rows that an attacker has part in."""
    hosts = _hosts(conn)
    theirs = hosts.filter(_inside(hosts, attackers))
    return conn.filter(pl.any_horizontal(pl.col(*HOSTS).is_in(theirs.implode())))


def _others(conn: pl.DataFrame, known: tuple[str, ...]) -> list[str]:
    """List the hosts that label.json does not name, such as a spammer's resolver."""
    hosts = _hosts(conn)
    return hosts.filter(~_inside(hosts, known)).to_list()


def _hosts(conn: pl.DataFrame) -> pl.Series:
    return pl.concat([conn[host] for host in HOSTS]).unique(maintain_order=True)


def _inside(hosts: pl.Series, networks: tuple[str, ...]) -> pl.Series:
    wanted = [ip_network(network) for network in networks]
    return pl.Series(
        [any(ip_address(host) in network for network in wanted) for host in hosts],
        dtype=pl.Boolean,
    )


def _table(path: Path, log: str) -> pl.DataFrame:
    """Read a log's TSV as the simulator types it; columns it lacks are unset."""
    try:
        data = path.read_bytes()
        header = re.search(rb"^#fields\t(.*)$", data, re.MULTILINE)
        names = header[1].decode().rstrip("\r").split("\t") if header else []
        table = pl.read_csv(
            data,
            separator="\t",
            comment_prefix="#",
            quote_char=None,
            has_header=False,
            schema=dict.fromkeys(names, pl.String),
            null_values="-",
        )
        kinds = schema(LOGS[log]) | (HINTS if log == "conn" else {})
        return table.drop_nulls(_NEEDED).select(
            (pl.col(name) if name in names else pl.lit(None).alias(name)).cast(kind)
            for name, kind in kinds.items()
        )
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as err:
        raise InputError(
            f"{path}: expected a Zeek TSV log with #fields, found: {err}"
        ) from err
