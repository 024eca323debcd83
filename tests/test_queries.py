"""Counting dns.log: names, their domains and looks, against loops over plain rows."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.features.counting import add
from entropy_ids.features.queries import (
    CARRIERS,
    ERRORS,
    QUERY_FEATURES,
    count_queries,
    domain_of,
    label_entropy,
)
from entropy_ids.features.series import Rollups

NAMES = (
    *("www.example.com", "WWW.Example.COM.", "a.b.c.example.com", "example.com"),
    *("host.bbc.co.uk", "WORKGROUP", "4.3.2.10.in-addr.arpa", "q7x9.tun.example"),
    *("q8x1.tun.example", "", "\\x00\\xff.tun.example", None),
)
SCHEMA = {
    "minute": pl.Int64,
    "id.orig_h": pl.String,
    "query": pl.String,
    "qtype_name": pl.String,
    "rcode_name": pl.String,
}
Row = tuple[int, str, str | None, str | None, str | None]
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 60]),
        st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        st.sampled_from(NAMES) | st.text(max_size=20),
        st.sampled_from(["A", "TXT", "NULL", None]),
        st.sampled_from(["NOERROR", "NXDOMAIN", "REFUSED", None]),
    ),
    max_size=30,
)


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def as_sets(tables: dict[str, pl.DataFrame]) -> dict[str, set[tuple]]:
    return {name: set(table.rows()) for name, table in tables.items()}


def some_rows(seed: int, size: int = 200) -> list[Row]:
    rng = random.Random(seed)
    return [
        (
            0,
            f"10.0.0.{rng.randrange(5)}",
            rng.choice(NAMES),
            rng.choice(["A", "AAAA", "TXT", "CNAME", None]),
            rng.choice(["NOERROR", "NXDOMAIN", "SERVFAIL", None]),
        )
        for _ in range(size)
    ]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("www.example.com", "example.com"),
        ("a.b.co.uk", "b.co.uk"),
        ("co.uk", "co.uk"),
        ("x.y.tun.example", "tun.example"),
        ("printer", "printer"),
        ("4.3.2.10.in-addr.arpa", "in-addr.arpa"),
        ("in-addr.arpa", "in-addr.arpa"),
        ("b.a.9.8.ip6.arpa", "ip6.arpa"),
        ("me.github.io", "github.io"),
        ("", ""),
        ("a..b", "a..b"),
    ],
)
def test_a_name_has_its_registered_domain(name, domain):
    assert domain_of(name) == domain


@given(st.text(max_size=300).map(str.lower))
def test_the_domain_of_any_folded_text_is_its_end(text):
    assert text.endswith(domain_of(text))


@given(st.text(max_size=80).map(str.lower))
def test_label_entropy_is_that_of_what_the_domain_leaves(text):
    domain = domain_of(text)
    left = text[: len(text) - len(domain)].replace(".", "")
    counts = Counter(left).values()
    bits = sum(c / len(left) * math.log2(len(left) / c) for c in counts)
    assert label_entropy(text, domain) == pytest.approx(4 * bits, abs=0.5 + 1e-9)


def test_random_labels_have_more_entropy_than_words():
    told = [label_entropy(f"{s}.a.de", "a.de") for s in ("mail", "q7x2mz0vk4wj9c1t")]
    assert told == [8, 16]


# ---------------------------------------------------------------- counts


def naive_tables(rows: list[Row]) -> dict[str, set[tuple]]:
    names: Counter[tuple] = Counter()
    answers: Counter[tuple] = Counter()
    shapes: Counter[tuple] = Counter()
    size: dict[tuple, int] = {}
    for minute, source, asked, kind, result in rows:
        name = None if asked is None else asked.lower()
        name = name[:-1] if name and name[-1] == "." else name
        domain = None if name is None else domain_of(name)
        looks: tuple = (None, None)
        if name is not None:
            looks = (len(name) // 8, label_entropy(name, domain))
        key = (minute, 0, source, domain, name)
        names[key] += 1
        size[key] = size.get(key, 0) + len((name or "").encode())
        answers[minute, 0, source, kind, result] += 1
        shapes[(minute, 0, *looks)] += 1
    return {
        "names": {(*key, n, size[key]) for key, n in names.items()},
        "answers": {(*key, n) for key, n in answers.items()},
        "shapes": {(*key, n) for key, n in shapes.items()},
    }


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_counts_are_those_of_a_loop(rows):
    assert as_sets(count_queries(frame(rows))) == naive_tables(rows)


@settings(deadline=None, max_examples=40)
@given(ROWS, ROWS)
def test_counts_of_two_parts_add_to_the_count_of_both(rows, others):
    parts = [count_queries(frame(rows)), count_queries(frame(others))]
    assert as_sets(add(parts)) == as_sets(count_queries(frame(rows + others)))


def test_case_and_a_final_dot_make_no_other_name():
    rows = [(0, "10.0.0.1", name, "A", None) for name in NAMES[:2]]
    assert count_queries(frame(rows))["names"].height == 1


def test_an_unset_name_is_a_value_of_its_own():
    rows = [(0, "10.0.0.1", name, "A", None) for name in (None, "")]
    assert count_queries(frame(rows))["names"].height == 2


# ---------------------------------------------------------------- features

Weights = Counter[tuple]


def folded(row: Row) -> tuple[str | None, str | None]:
    name = None if row[2] is None else row[2].lower().removesuffix(".")
    return name, None if name is None else domain_of(name)


def flows(key: Callable[[Row], tuple]) -> Callable[[list[Row]], Weights]:
    return lambda rows: Counter(key(row) for row in rows)


def size(key: Callable[[Row], tuple]) -> Callable[[list[Row]], Weights]:
    def weigh(rows: list[Row]) -> Weights:
        found: Weights = Counter()
        for row in rows:
            found[key(row)] += len((folded(row)[0] or "").encode())
        return +found

    return weigh


def distinct(key: Callable[[Row], tuple], value: Callable[[Row], object]):
    return lambda rows: Counter(k for k, _ in {(key(row), value(row)) for row in rows})


def only(place: int, values: tuple[str, ...], key: Callable[[Row], tuple]):
    return lambda rows: Counter(key(row) for row in rows if row[place] in values)


def site(_: Row) -> tuple:
    return ()


def source(row: Row) -> tuple:
    return (row[1],)


def domain(row: Row) -> tuple:
    return (folded(row)[1],)


def name_of(row: Row) -> tuple:
    return (folded(row)[0],)


def below(row: Row) -> tuple:
    return (row[1], folded(row)[1])


def length(row: Row) -> tuple:
    name = folded(row)[0]
    return (None if name is None else len(name) // 8,)


def looks(row: Row) -> tuple:
    name, domain = folded(row)
    return (None if name is None else label_entropy(name, domain),)


NAIVE = {
    "queries": flows(site),
    "query_bytes": size(site),
    "dns_orig_h": flows(source),
    "domain": flows(domain),
    "domain_bytes": size(domain),
    "domain_names": distinct(domain, name_of),
    "query": flows(name_of),
    "max_queries": flows(source),
    "max_domains": distinct(source, domain),
    "max_domain": flows(below),
    "max_names": distinct(below, name_of),
    "max_query_bytes": size(below),
    "qtype": flows(lambda row: (row[3],)),
    "rcode": flows(lambda row: (row[4],)),
    "nxdomain": only(4, ("NXDOMAIN",), site),
    "max_nxdomain": only(4, ("NXDOMAIN",), source),
    "dns_errors": only(4, ERRORS, site),
    "max_dns_errors": only(4, ERRORS, source),
    "carriers": only(3, CARRIERS, site),
    "max_carriers": only(3, CARRIERS, source),
    "query_length": flows(length),
    "query_entropy": flows(looks),
}


def test_twin_knows_every_feature_of_queries():
    assert set(NAIVE) == {feature.name for feature in QUERY_FEATURES}


@pytest.mark.parametrize("feature", QUERY_FEATURES, ids=lambda one: one.name)
def test_weights_of_a_feature_are_those_of_a_loop(feature):
    rows = some_rows(seed=3)
    counts = Rollups(count_queries(frame(rows))).get(feature.view).collect()
    found = {
        row[:-1]: row[-1] for row in counts.select(*feature.key, feature.weight).rows()
    }
    assert {key: n for key, n in found.items() if n} == NAIVE[feature.name](rows)
