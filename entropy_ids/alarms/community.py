"""Community IDs: what other tools call the same connections.

References
----------
.. [1] Corelight, Community ID flow hashing, version 1 with seed 0,
   https://github.com/corelight/community-id-spec.
"""

from __future__ import annotations

import communityid
import polars as pl

_PROTOCOLS = {
    "tcp": communityid.PROTO_TCP,
    "udp": communityid.PROTO_UDP,
    "sctp": communityid.PROTO_SCTP,
}
_ENDS = ("id.orig_h", "id.resp_h", "id.orig_p", "id.resp_p")
_VERSION_1 = communityid.CommunityID()


def community_ids(rows: pl.DataFrame) -> tuple[str, ...]:
    """Give the Community ID of each connection.

    Parameters
    ----------
    rows
        Connections as in `Minutes.rows`. For ICMP, Zeek writes the type as
        ``id.orig_p`` and the code as ``id.resp_p``, and they are taken so.

    Returns
    -------
    tuple
        One per row; empty where Zeek names no protocol that has one, or an end is
        unset.

    Examples
    --------
    >>> ends = {"id.orig_h": "128.232.110.120", "id.resp_h": "66.35.250.204"}
    >>> ports = {"id.orig_p": 34855, "id.resp_p": 80, "proto": "tcp"}
    >>> community_ids(pl.DataFrame([ends | ports]))
    ('1:LQU9qZlK+B5F3KDmev6m5PMibrg=',)
    """
    return tuple(_id(*row) for row in rows.select("proto", *_ENDS).rows())


def _id(
    proto: str | None,
    orig_h: str | None,
    resp_h: str | None,
    orig_p: int | None,
    resp_p: int | None,
) -> str:
    number = _protocol(proto, orig_h)
    try:
        ends = communityid.FlowTuple(number, orig_h, resp_h, orig_p, resp_p)
    except communityid.FlowTupleError:
        return ""
    return str(_VERSION_1.calc(ends))


def _protocol(proto: str | None, address: str | None) -> int | None:
    """Give IANA's number of a protocol as Zeek names it."""
    if proto == "icmp":
        six = ":" in (address or "")
        return int(communityid.PROTO_ICMP6 if six else communityid.PROTO_ICMP)
    return _PROTOCOLS.get(proto or "")
