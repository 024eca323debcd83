r"""Alarms in the words of others: RFC 5424, CEF, ECS, and Zeek's notices.

All take a row as `entropy_ids.alarms.sinks.as_dict` gives it, whose texts are sanitised
already: no control character is left, and each format escapes its own.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from entropy_ids import __version__
from entropy_ids.alarms.history import as_alarm
from entropy_ids.alarms.suppression import named

Row = Mapping[str, Any]

_FACILITY = 13  # log audit
_SYSLOG = {"low": 5, "medium": 4, "high": 3, "critical": 2}
"""Notice, warning, error, critical; what is suppressed is informational."""
_INFORMATIONAL = 6
_CEF = {"low": 3, "medium": 6, "high": 8, "critical": 10}
_ECS = {"low": 21, "medium": 47, "high": 73, "critical": 99}
"""The risk scores that Elastic gives the same words."""
SD_ID = "entropy_ids@32473"
"""32473 is the enterprise number for documentation (RFC 5612): we have none."""
_SD = (
    *("id", "revision", "state", "sensor", "class", "severity", "confidence"),
    *("start", "end", "score", "threshold", "flows", "suppressed_by"),
)
_OURS = (
    *("revision", "state", "schema", "score", "threshold", "confidence", "flows"),
    *("detector", "deviations", "contributors", "profile", "suppressed_by", "cut"),
)
_LONG = ("uids", "community_ids", "deviations", "contributors")
_KEPT = (20, 5, 1, 0)
NOTE = "EntropyAlarm::Incident"
"""What ``examples/entropy-alarm.zeek`` calls its notices."""


def ends(row: Row) -> dict[str, list[str]]:
    """Give the addresses that an alarm names, by ``source`` and ``target``.

    Networks, and what is no address, are not among them.
    """
    alarm = as_alarm(dict(row), "alarm")
    return {
        side: [text for text in named(alarm, side) if _version(text)]
        for side in ("source", "target")
    }


def _version(text: str) -> int:
    """Give 4 or 6; 0 when it is no address."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def _ports(row: Row) -> list[tuple[int, str]]:
    found = (
        re.fullmatch(r"([0-9]{1,5})/([a-z]+)", c["value"])
        for c in row["contributors"]
        if c["feature"] == "resp_p"
    )
    return [(int(one[1]), one[2]) for one in found if one]


def line(row: Row) -> str:
    """Give an alarm as JSON, as in ``alarms.jsonl``."""
    return json.dumps(row)


def plain(row: Row) -> str:
    r"""Give severity, id and summary; what is not ASCII is written ``\u{...}``."""
    marked = f", suppressed by {row['suppressed_by']}" if row["suppressed_by"] else ""
    text = f"{row['severity']} {row['id']} {row['state']}{marked}: {row['summary']}"
    return _ascii(text)


def _ascii(text: str) -> str:
    return "".join(c if c.isascii() else f"\\u{{{ord(c):x}}}" for c in text)


# ----------------------------------------------------------------------- RFC 5424


def syslog(row: Row, host: str, message: str) -> str:
    r"""Give an RFC 5424 message: header, structured data, and a message of ASCII.

    Parameters
    ----------
    host
        Name of this machine.
    message
        What `PAYLOADS` make of the row.

    Examples
    --------
    >>> _sd_value('a "b" [c] \\')
    'a \\"b\\" [c\\] \\\\'
    """
    level = _INFORMATIONAL if row["suppressed_by"] else _SYSLOG[row["severity"]]
    values = {name: row[name] for name in _SD if row[name] is not None}
    values |= {f"{side}": " ".join(some) for side, some in ends(row).items() if some}
    values |= {"technique": " ".join(row["technique"])} if row["technique"] else {}
    params = "".join(f' {name}="{_sd_value(v)}"' for name, v in values.items())
    head = f"<{8 * _FACILITY + level}>1 {row['end']} {_token(host, 255)} entropy-ids"
    return f"{head} - {_token(row['class'], 32)} [{SD_ID}{params}] {message}"


def _sd_value(value: Any) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", str(value))


def _token(text: str, most: int) -> str:
    """Give what a header may hold: printable ASCII without spaces, or ``-``."""
    return re.sub(r"[^!-~]", "_", text)[:most] or "-"


# ---------------------------------------------------------------------------- CEF


def cef(row: Row) -> str:
    r"""Give ArcSight's Common Event Format, version 0, in ASCII.

    Examples
    --------
    >>> _cef_head("a|b\\"), _cef_value("a=b\\")
    ('a\\|b\\\\', 'a\\=b\\\\')
    """
    level = 0 if row["suppressed_by"] else _CEF[row["severity"]]
    head = ("entropy-ids", "entropy-ids", __version__, row["class"])
    title = f"{row['class']} {row['state']}"
    header = "|".join(_cef_head(text) for text in (*head, title, str(level)))
    values = " ".join(
        f"{key}={_cef_value(v)}" for key, v in _cef_values(row) if v != ""
    )
    return f"CEF:0|{header}|{values}"


def _cef_values(row: Row) -> Iterator[tuple[str, Any]]:
    yield "externalId", row["id"]
    for key, name in (("rt", "end"), ("start", "start"), ("end", "end")):
        yield key, int(datetime.fromisoformat(row[name]).timestamp()) * 1000
    yield "dvchost", row["sensor"]
    yield "cnt", row["flows"]
    yield "cat", " ".join(row["technique"])
    yield from _cef_ends(row)
    for number, name in enumerate(("score", "threshold", "confidence"), 1):
        yield from ((f"cfp{number}Label", name), (f"cfp{number}", row[name]))
    yield from (("cn1Label", "revision"), ("cn1", row["revision"]))
    texts = ("state", row["state"]), ("suppressed_by", row["suppressed_by"] or "")
    for number, (name, text) in enumerate(texts, 1):
        if text:
            yield from ((f"cs{number}Label", name), (f"cs{number}", text))
    yield "msg", row["summary"]


def _cef_ends(row: Row) -> Iterator[tuple[str, Any]]:
    """Give the first address of each side and the first port; IPv6 has own keys."""
    keys = {"source": ("src", "c6a2"), "target": ("dst", "c6a3")}
    for side, some in ends(row).items():
        if some and _version(some[0]) == 4:
            yield keys[side][0], some[0]
        elif some:
            yield f"{keys[side][1]}Label", f"{side} address"
            yield keys[side][1], some[0]
    for port, proto in _ports(row)[:1]:
        yield from (("dpt", port), ("proto", proto.upper()))


def _cef_head(text: str) -> str:
    return _ascii(text).replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(value: Any) -> str:
    return _ascii(str(value)).replace("\\", "\\\\").replace("=", "\\=")


# ---------------------------------------------------------------------------- ECS


def ecs(row: Row) -> str:
    """Give the Elastic Common Schema as JSON; what it has no place for is ours."""
    found = ends(row)
    document: dict[str, Any] = {
        "@timestamp": row["end"],
        "ecs": {"version": "8.11.0"},
        "message": row["summary"],
        "event": {
            "kind": "alert",
            "category": ["network", "intrusion_detection"],
            "type": ["info"],
            "module": "entropy_ids",
            "dataset": "entropy_ids.alarm",
            "id": row["id"],
            "sequence": row["revision"],
            "severity": _ECS[row["severity"]],
            "start": row["start"],
            "end": row["end"],
        },
        "rule": {"name": row["class"]},
        "observer": {"name": row["sensor"], "type": "ids", "product": "entropy-ids"},
        "tags": ["suppressed"] * bool(row["suppressed_by"]),
        "related": {"ip": [*dict.fromkeys(found["source"] + found["target"])]},
        "threat": _ecs_threat(row["technique"]),
        "zeek": {"session_id": row["uids"]},
        "network": {"community_id": [*filter(None, row.get("community_ids", ()))]},
        "entropy_ids": {name: row[name] for name in _OURS if name in row},
    }
    document |= {
        name: {"ip": found[side]}
        for name, side in (("source", "source"), ("destination", "target"))
        if found[side]
    }
    for port, proto in _ports(row)[:1]:
        document["destination"] = document.get("destination", {}) | {"port": port}
        document["network"] |= {"transport": proto}
    document["network"] = {name: v for name, v in document["network"].items() if v}
    return json.dumps({name: value for name, value in document.items() if value})


def _ecs_threat(technique: list[str]) -> dict[str, Any]:
    """Give ATT&CK ids; a part of a technique, such as T1071.004, under its whole."""
    if not technique:
        return {}
    whole = [*dict.fromkeys(one.partition(".")[0] for one in technique)]
    parts = [one for one in technique if "." in one]
    told: dict[str, Any] = {"id": whole}
    told |= {"subtechnique": {"id": parts}} if parts else {}
    return {"framework": "MITRE ATT&CK", "technique": told}


# ------------------------------------------------------------------------- notice


def notice(row: Row) -> str:
    """Give the fields of a line of Zeek's ``notice.log``, as JSON."""
    found = ends(row)
    told = {
        "ts": datetime.fromisoformat(row["end"]).timestamp(),
        "uid": next(iter(row["uids"]), None),
        "note": NOTE,
        "msg": row["summary"],
        "sub": f"{row['class']} {row['severity']} {row['id']}",
        "src": next(iter(found["source"]), None),
        "dst": next(iter(found["target"]), None),
        "n": row["flows"],
        "peer_descr": row["sensor"],
        "actions": [] if row["suppressed_by"] else ["Notice::ACTION_LOG"],
    }
    for port, proto in _ports(row)[:1]:
        told |= {"p": port, "proto": proto}
    return json.dumps({name: v for name, v in told.items() if v is not None})


PAYLOADS: dict[str, Callable[[Row], str]] = {
    "plain": plain,
    "json": line,
    "ecs": ecs,
    "cef": cef,
    "notice": notice,
}
"""What ``alarms.syslog_payload`` may be, and what writes it."""


def fitted(row: Row, write: Callable[[Row], str], most_bytes: int) -> bytes:
    """Write a row so that it has at most so many bytes.

    Its longest lists are shortened as far as is needed, which ``cut`` then says; should
    all that not be enough, the text ends early.
    """
    text = write(row).encode()
    for kept in _KEPT:
        if len(text) <= most_bytes:
            break
        lists = {name: row[name][:kept] for name in _LONG if name in row}
        text = write({**row, **lists, "cut": True}).encode()
    return text[:most_bytes].decode(errors="ignore").encode()
