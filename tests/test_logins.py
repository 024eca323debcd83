"""Counting logins: what each log tells of one, against loops over plain rows."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from entropy_ids.collector.schema import kept
from entropy_ids.features.counting import add
from entropy_ids.features.logins import LOGIN_FEATURES, LOGINS, count_logins
from entropy_ids.features.series import Rollups

PREAUTH = "KDC_ERR_PREAUTH_REQUIRED"


def frame(log: str, *rows: dict[str, Any]) -> pl.DataFrame:
    """Give rows of a log from 10.0.0.1 to 10.0.0.9, in the minute 0."""
    usual = dict.fromkeys(kept(log)) | {"id.orig_h": "10.0.0.1"}
    usual |= {"id.resp_h": "10.0.0.9", "minute": 0}
    schema = kept(log) | {"minute": pl.Int64()}
    return pl.DataFrame([usual | row for row in rows], schema=schema)


def counted(log: str, *rows: dict[str, Any]) -> pl.DataFrame:
    return count_logins(log, frame(log, *rows))["logins"]


# ---------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    ("log", "row", "outcome"),
    [
        ("ssh", {"auth_success": False}, "failed"),
        ("ssh", {"auth_success": True}, "succeeded"),
        ("ssh", {"auth_success": None}, "unknown"),
        ("http", {"status_code": 401}, "failed"),
        ("http", {"status_code": 403, "username": "eve"}, "failed"),
        ("http", {"status_code": 200, "username": "eve"}, "succeeded"),
        ("http", {"status_code": 302, "username": "eve"}, "succeeded"),
        ("http", {"status_code": 500, "username": "eve"}, "unknown"),
        (
            "http",
            {"status_code": 200, "method": "POST", "uri": "/wp-login.php"},
            "unknown",
        ),
        ("http", {"status_code": 401, "method": "POST", "uri": "/login"}, "failed"),
        (
            "kerberos",
            {"success": False, "error_msg": "KDC_ERR_PREAUTH_FAILED"},
            "failed",
        ),
        ("kerberos", {"success": True, "request_type": "AS"}, "succeeded"),
        ("kerberos", {"success": None, "request_type": "AS"}, "unknown"),
        ("smtp", {"last_reply": "535 5.7.8 authentication failed"}, "failed"),
        ("smtp", {"last_reply": "530 5.7.0 Authentication required"}, "failed"),
        ("smtp", {"last_reply": "235 2.7.0 accepted"}, "succeeded"),
        ("ftp", {"reply_code": 530, "command": "PASS"}, "failed"),
        ("ftp", {"reply_code": 230, "command": "PASS"}, "succeeded"),
        ("ftp", {"reply_code": 421, "command": "PASS"}, "unknown"),
    ],
)
def test_a_row_of_a_log_tells_the_outcome_of_a_login(log, row, outcome):
    assert counted(log, row)["outcome"].to_list() == [outcome]


@pytest.mark.parametrize(
    ("log", "row"),
    [
        ("http", {"status_code": 200, "method": "GET", "uri": "/login"}),
        ("http", {"status_code": 200, "method": "POST", "uri": "/?back=/login"}),
        ("http", {"status_code": 404}),
        ("http", {}),
        ("kerberos", {"success": False, "error_msg": PREAUTH, "request_type": "AS"}),
        ("kerberos", {"success": False, "error_msg": "x", "request_type": "TGS"}),
        ("smtp", {"last_reply": "530 5.7.0 Must issue a STARTTLS command first"}),
        ("smtp", {"last_reply": "250 2.0.0 Ok: queued"}),
        ("ftp", {"reply_code": 331, "command": "USER", "user": "eve"}),
        ("ftp", {"reply_code": 226, "command": "RETR", "user": "eve"}),
    ],
)
def test_a_row_that_is_no_login_is_not_counted(log, row):
    assert counted(log, row).is_empty()


def test_kerberos_fails_without_an_error_text_too():
    assert counted("kerberos", {"success": False})["outcome"].to_list() == ["failed"]


def test_passwords_of_one_session_are_tried_one_by_one():
    rows = [{"auth_success": False, "auth_attempts": n} for n in (6, 0, None)]
    table = counted("ssh", *rows)
    assert table.select("flows", "tries").rows() == [(3, 8)]


@pytest.mark.parametrize(
    ("log", "row"),
    [
        ("http", {"status_code": 401, "username": "eve"}),
        ("kerberos", {"success": True, "client": "eve"}),
        ("ftp", {"reply_code": 530, "user": "eve"}),
    ],
)
def test_the_account_is_the_one_that_the_log_names(log, row):
    assert counted(log, row).select("service", "account").rows() == [(log, "eve")]


@pytest.mark.parametrize("log", LOGINS)
def test_no_rows_are_an_empty_table_of_the_same_columns(log):
    empty = counted(log)
    assert empty.schema == counted("ssh", {"auth_success": True}).schema


# ---------------------------------------------------------------- features

Login = tuple[str, str | None, str, str, str, int]
"""Service, account, source, target, outcome, tries."""
OUTCOMES = {True: "succeeded", False: "failed", None: "unknown"}


def some_rows(seed: int, size: int = 150) -> dict[str, list[dict[str, Any]]]:
    """Give rows of ssh and kerberos logs."""
    rng = random.Random(seed)
    rows: dict[str, list[dict[str, Any]]] = {"ssh": [], "kerberos": []}
    for _ in range(size):
        ends = {"id.orig_h": f"10.0.0.{rng.randrange(6)}"}
        ends["id.resp_h"] = f"10.1.0.{rng.randrange(3)}"
        told = rng.choice([True, False, None])
        if rng.random() < 0.5:
            tried = {"auth_success": told, "auth_attempts": rng.randrange(5)}
            rows["ssh"].append(ends | tried)
        else:
            who = rng.choice(["eve", "bob", "root", None])
            rows["kerberos"].append(ends | {"success": told, "client": who})
    return rows


def plain(rows: dict[str, list[dict[str, Any]]]) -> list[Login]:
    ssh = [
        ("ssh", None, r["id.orig_h"], r["id.resp_h"], OUTCOMES[r["auth_success"]],
         max(1, r["auth_attempts"]))
        for r in rows["ssh"]
    ]  # fmt: skip
    kerberos = [
        ("kerberos", r["client"], r["id.orig_h"], r["id.resp_h"],
         OUTCOMES[r["success"]], 1)
        for r in rows["kerberos"]
    ]  # fmt: skip
    return ssh + kerberos


def flows(*places: int, outcome: str = "") -> Callable[[list[Login]], Counter[tuple]]:
    return lambda logins: Counter(
        tuple(login[place] for place in places)
        for login in logins
        if outcome in ("", login[4])
    )


def distinct(key: tuple[int, ...], value: int) -> Callable[[list[Login]], Counter]:
    def weigh(logins: list[Login]) -> Counter[tuple]:
        pairs = {(tuple(x[place] for place in key), x[value]) for x in logins}
        return Counter(one for one, _ in pairs)

    return weigh


SERVICE, WHO, SRC, DST, OUTCOME = range(5)
NAIVE = {
    "attempts": flows(),
    "tries": lambda logins: Counter({(): sum(login[5] for login in logins)}),
    "failures": flows(outcome="failed"),
    "successes": flows(outcome="succeeded"),
    "undecided": flows(outcome="unknown"),
    "outcome": flows(OUTCOME),
    "login_service": flows(SERVICE),
    "login_orig_h": flows(SRC),
    "login_resp_h": flows(DST),
    "account": flows(WHO),
    "failed_orig_h": flows(SRC, outcome="failed"),
    "failed_resp_h": flows(DST, outcome="failed"),
    "failed_account": flows(WHO, outcome="failed"),
    "max_attempts": flows(SRC),
    "max_login_resp_h": flows(DST),
    "max_login_pair": flows(SRC, DST),
    "max_failures": flows(SRC, outcome="failed"),
    "max_failed_resp_h": flows(DST, outcome="failed"),
    "max_failed_account": flows(WHO, SERVICE, outcome="failed"),
    "max_accounts": distinct((SRC,), WHO),
    "max_login_sources": distinct((WHO, SERVICE), SRC),
    "max_login_targets": distinct((SRC,), DST),
    "max_login_fan_in": distinct((DST,), SRC),
}


def test_twin_knows_every_feature_of_logins():
    assert set(NAIVE) == {feature.name for feature in LOGIN_FEATURES}


@pytest.mark.parametrize("feature", LOGIN_FEATURES, ids=lambda one: one.name)
def test_weights_of_a_feature_are_those_of_a_loop(feature):
    rows = some_rows(seed=5)
    tables = add([count_logins(log, frame(log, *rows[log])) for log in rows])
    counts = Rollups(tables).get(feature.view).collect()
    found = counts.select(*feature.key, feature.weight).rows()
    assert {row[:-1]: row[-1] for row in found} == NAIVE[feature.name](plain(rows))


def test_counts_of_two_parts_add_to_the_count_of_both():
    rows = frame("ssh", *some_rows(seed=6)["ssh"])
    parts = [count_logins("ssh", part) for part in (rows[:20], rows[20:])]
    whole = count_logins("ssh", rows)["logins"]
    assert set(add(parts)["logins"].rows()) == set(whole.rows())
