"""Count dns.log: who asks for what names, how the names look, and what comes back.

A tunnel carries its data in names below a domain of its own: names that are long, look
random, never repeat, and are asked for by one source. So names are counted below their
registered domain, by source. JASK's use case of DNS exfiltration is built from these.

Notes
-----
A name is folded to lower case (resolvers mix cases to harden themselves) and loses a
final dot. Its registered domain is the public suffix and one label, by the list that
the library brings along, ICANN's part: nothing is fetched. An unknown last label counts
as a suffix (``tun.example``), a name of one label is its own domain, and all names of a
reverse zone are of that zone. Zeek escapes bytes that are no text, so that lengths are
those of the escaped name. Label entropy is that of the characters before the registered
domain, dots aside, in quarter bits: only integers are counted.

References
----------
.. [1] Born, Gustafson 2010, arXiv 1004.4358 (characters of tunnelled names).
.. [2] Paxson et al. 2013, USENIX Security (information per registered domain).
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from math import log2

import polars as pl
from publicsuffixlist import PublicSuffixList

from entropy_ids.features.feature import Feature

QUARTERS = 4
"""Label entropy is counted in quarter bits; names have 0 to 5 bits."""
LENGTH_BIN = 8
"""Names are counted by eights of characters; 0 to 31."""
_REVERSE = ("in-addr.arpa", "ip6.arpa")
_REMEMBERED = 1 << 16

_SRC = ("id.orig_h",)
_BELOW = ("id.orig_h", "domain")
CARRIERS = ("TXT", "NULL", "CNAME", "KEY", "SIG", "query-65399")
"""Types whose answers hold much: tunnels ask for them. The last is iodine's PRIVATE."""
ERRORS = ("NXDOMAIN", "SERVFAIL", "REFUSED")

QUERY_FEATURES = (
    Feature("queries", "names", (), "DNS queries", kind="volume"),
    Feature("query_bytes", "names", (), "bytes of names asked", "bytes", "volume"),
    Feature("dns_orig_h", "names", _SRC, "source of DNS queries"),
    Feature("domain", "names", ("domain",), "registered domain asked for"),
    Feature(
        "domain_bytes", "names", ("domain",), "registered domain by bytes", "bytes"
    ),
    Feature(
        "domain_names",
        "names",
        ("domain",),
        "registered domain by distinct names",
        "distinct",
        of=("domain", "query"),
    ),
    Feature("query", "names", ("query",), "name asked for"),
    Feature("max_queries", "names", _SRC, "most queries of one source", kind="largest"),
    Feature(
        "max_domains",
        "names",
        _SRC,
        "most registered domains of one source",
        "distinct",
        "largest",
        of=_BELOW,
    ),
    Feature(
        "max_domain", "names", _BELOW, "most queries of one domain", kind="largest"
    ),
    Feature(
        "max_names",
        "names",
        _BELOW,
        "most names that one source asks of one domain",
        "distinct",
        "largest",
        of=(*_BELOW, "query"),
    ),
    Feature(
        "max_query_bytes",
        "names",
        _BELOW,
        "most bytes of names that one source asks of one domain",
        "bytes",
        "largest",
    ),
    Feature("qtype", "answers", ("qtype_name",), "type of a query"),
    Feature("rcode", "answers", ("rcode_name",), "result of a query"),
    *(
        feature
        for name, column, values, words in (
            ("nxdomain", "rcode_name", ERRORS[:1], "names that do not exist"),
            ("dns_errors", "rcode_name", ERRORS, "queries refused or failed"),
            ("carriers", "qtype_name", CARRIERS, "queries for TXT and its like"),
        )
        for feature in (
            Feature(name, "answers", (), words, kind="volume", only=(column, *values)),
            Feature(
                f"max_{name}",
                "answers",
                _SRC,
                f"most {words} of one source",
                kind="largest",
                only=(column, *values),
            ),
        )
    ),
    Feature("query_length", "shapes", ("length",), "length of a name, by eights"),
    Feature("query_entropy", "shapes", ("entropy",), "label entropy, quarter bits"),
)


def count_queries(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Count rows of dns.log that carry ``minute``.

    Returns
    -------
    dict
        ``names`` (by source, registered domain and name; ``bytes`` are those of the
        names), ``answers`` (by source, type and result) and ``shapes`` (by length and
        label entropy), integers only.
    """
    rows = frame.with_columns(
        pl.col("query").str.to_lowercase().str.strip_suffix("."),
        direction=pl.lit(0, pl.Int8),
    )
    rows = rows.join(
        _described(rows["query"]), on="query", how="left", nulls_equal=True
    )
    flows, size = pl.len().cast(pl.Int64), pl.col("size").fill_null(0).sum()
    plans = {
        "names": rows.lazy()
        .group_by("minute", "direction", *_BELOW, "query")
        .agg(flows=flows, bytes=size),
        "answers": rows.lazy()
        .group_by("minute", "direction", *_SRC, "qtype_name", "rcode_name")
        .agg(flows=flows),
        "shapes": rows.lazy()
        .group_by("minute", "direction", "length", "entropy")
        .agg(flows=flows),
    }
    return dict(zip(plans, pl.collect_all(plans.values()), strict=True))


def _described(names: pl.Series) -> pl.DataFrame:
    """Give each name's registered domain, size in bytes, length and entropy bins."""
    unique = names.drop_nulls().unique()
    domains = [domain_of(name) for name in unique]
    entropies = [
        label_entropy(name, domain)
        for name, domain in zip(unique, domains, strict=True)
    ]
    size = unique.str.len_bytes().cast(pl.Int64)
    return pl.DataFrame(
        {
            "query": unique,
            "domain": pl.Series(domains, dtype=pl.String),
            "size": size,
            "length": unique.str.len_chars().cast(pl.Int64) // LENGTH_BIN,
            "entropy": pl.Series(entropies, dtype=pl.Int64),
        }
    )


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


@lru_cache(maxsize=_REMEMBERED)
def domain_of(name: str) -> str:
    """Give the registered domain of a name in lower case without a final dot.

    Examples
    --------
    >>> [domain_of(n) for n in ("a.b.bbc.co.uk", "9.0.10.in-addr.arpa", "workgroup")]
    ['bbc.co.uk', 'in-addr.arpa', 'workgroup']
    """
    for zone in _REVERSE:
        if name == zone or name.endswith(f".{zone}"):
            return zone
    return _suffixes().privatesuffix(name) or name


@lru_cache(maxsize=_REMEMBERED)
def label_entropy(name: str, domain: str) -> int:
    """Give the Shannon entropy of what a name has before its domain, quarter bits.

    Examples
    --------
    >>> label_entropy("www.bbc.co.uk", "bbc.co.uk"), label_entropy("abcd.a.de", "a.de")
    (0, 8)
    """
    text = name.removesuffix(domain).replace(".", "")
    counts = sorted(Counter(text).values())
    bits = -sum(c / len(text) * log2(c / len(text)) for c in counts)
    return round(QUARTERS * bits)
