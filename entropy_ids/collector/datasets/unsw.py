"""UNSW-NB15: generated traffic with nine families of attacks, as Argus and Bro saw it.

The files ``UNSW-NB15_1.csv`` to ``_4.csv``. They have no header; the columns are those
that ``NUSW-NB15_features.csv`` lists, in its order.

Notes
-----
* Families are written with stray spaces, and one both ``Backdoor`` and ``Backdoors``:
  it is ``Backdoor`` here. An attack without a family is of the class ``attack``. The
  label as written is the family, or where that is blank the 0 or 1 of ``Label``.
* Ports are decimal, hexadecimal or ``-``. Start times are whole seconds. Bytes are with
  headers (Argus), where Zeek counts payload; services are Bro's own names.
* Argus' states say too little to tell Zeek's, which stay unknown.

References
----------
Moustafa, Slay: UNSW-NB15: a comprehensive data set for network intrusion detection
systems, MilCIS 2015, doi:10.1109/MilCIS.2015.7348942.
"""

from __future__ import annotations

import re

import polars as pl

from entropy_ids.collector.datasets.rows import NORMAL, number
from entropy_ids.collector.datasets.tables import Header, Table, named

COLUMNS = tuple(
    """srcip sport dstip dsport proto state dur sbytes dbytes sttl dttl sloss dloss
    service Sload Dload Spkts Dpkts swin dwin stcpb dtcpb smeansz dmeansz trans_depth
    res_bdy_len Sjit Djit Stime Ltime Sintpkt Dintpkt tcprtt synack ackdat
    is_sm_ips_ports ct_state_ttl ct_flw_http_mthd is_ftp_login ct_ftp_cmd ct_srv_src
    ct_srv_dst ct_dst_ltm ct_src_ltm ct_src_dport_ltm ct_dst_sport_ltm ct_dst_src_ltm
    attack_cat Label""".split()
)
"""The set's columns in their order."""
UNNAMED = "attack"
"""The class of attacks whose family is not told."""
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_SPELLINGS = {"Backdoors": "Backdoor", "": UNNAMED}
_with_names = named("srcip", "dstip", "Stime")


def _header(line: str) -> Header | None:
    """Take copies that were given a header, and the files as they are."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(COLUMNS):
        return _with_names(line)
    row = dict(zip(COLUMNS, cells, strict=True))
    addresses = all(_ADDRESS.fullmatch(row[name]) for name in ("srcip", "dstip"))
    if addresses and row["Label"] in ("0", "1"):
        return Header(COLUMNS, lines=0)
    return _with_names(line)


def _class() -> pl.Expr:
    attack = pl.col("Label").str.strip_chars()
    family = pl.col("attack_cat").str.strip_chars().replace(_SPELLINGS)
    return (
        pl.when(attack == "0")
        .then(pl.lit(NORMAL))
        .when(attack == "1")
        .then(family.fill_null(UNNAMED))
    )


def _detail() -> pl.Expr:
    family = pl.col("attack_cat")
    return pl.when(family.str.strip_chars() != "").then(family).otherwise("Label")


UNSW_NB15 = Table(
    name="UNSW-NB15",
    header=_header,
    texts={
        "ts": pl.col("Stime"),
        "id.orig_h": pl.col("srcip"),
        "id.orig_p": pl.col("sport"),
        "id.resp_h": pl.col("dstip"),
        "id.resp_p": pl.col("dsport"),
        "proto": pl.col("proto").str.strip_chars().str.to_lowercase(),
        "service": pl.col("service"),
        "duration": pl.col("dur"),
        "orig_bytes": pl.col("sbytes"),
        "resp_bytes": pl.col("dbytes"),
        "orig_pkts": pl.col("Spkts"),
        "resp_pkts": pl.col("Dpkts"),
        "label": _class(),
        "detail": _detail(),
    },
    stamp=number(pl.col("ts")) * 1e6,
    length=number(pl.col("duration")) * 1e6,
)
