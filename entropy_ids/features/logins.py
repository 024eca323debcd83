"""Count logins, as ssh, http, kerberos, smtp and ftp logs tell of them.

JASK's use case of failed logins: guessing shows as failures of one source, of one
account, or of many accounts from one source. What each log tells of a login stands in
`LOGINS`; rows that tell of none are not counted.

Notes
-----
Only what the log says counts; where it does not say, the outcome is ``unknown``:

* ssh: every session. ``auth_success`` is Zeek's guess by packet sizes, and Zeek before
  version 6 leaves it unset with recent OpenSSH: then guesses show as attempts alone.
* http: answers 401 and 403 failed, as does the first of a browser that is then asked
  for a password; other requests count with a ``username``, and posts to paths that
  look like a login, whose outcome is unknown.
* kerberos: requests of the authentication service; that a password is needed first
  (PREAUTH_REQUIRED) is no failure.
* smtp: the last reply of a transaction alone is logged. Asking for TLS (530) is none.
* ftp: USER and PASS are rarely logged, but what was refused for lack of a login is.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from entropy_ids.features.feature import Feature, Key, Weight

_NEVER, _ONCE = pl.lit(value=False), pl.lit(1, pl.Int64)
_NOBODY = pl.lit(None, pl.String)
_LOGIN_PATH = r"(?i)^[^?]*(log-?[io]n|sign-?in|auth|passw)"
_ASKS_FIRST = ("KDC_ERR_PREAUTH_REQUIRED", "NEEDED_PREAUTH")
_status = pl.col("status_code")
_reply = pl.col("last_reply").str.slice(0, 3)
_is_as = pl.col("request_type").fill_null("AS") == "AS"


@dataclass(frozen=True)
class Login:
    """What a log tells of logins; null is no.

    Attributes
    ----------
    failed, succeeded
        The row says so; failure goes first.
    other
        The row is a login besides.
    account
        Who wants to log in; null where the log does not say.
    tries
        Passwords tried.
    """

    failed: pl.Expr
    succeeded: pl.Expr
    other: pl.Expr = _NEVER
    account: pl.Expr = _NOBODY
    tries: pl.Expr = _ONCE


LOGINS = {
    "ssh": Login(
        ~pl.col("auth_success"),
        pl.col("auth_success"),
        pl.lit(value=True),
        tries=pl.col("auth_attempts").fill_null(1).clip(1),
    ),
    "http": Login(
        _status.is_in([401, 403]),
        pl.col("username").is_not_null() & _status.is_between(200, 399),
        pl.col("username").is_not_null()
        | ((pl.col("method") == "POST") & pl.col("uri").str.contains(_LOGIN_PATH)),
        pl.col("username"),
    ),
    "kerberos": Login(
        _is_as
        & ~pl.col("success")
        & ~pl.col("error_msg").fill_null("").is_in(_ASKS_FIRST),
        _is_as & pl.col("success"),
        _is_as & pl.col("success").is_null(),
        pl.col("client"),
    ),
    "smtp": Login(
        _reply.is_in(["530", "534", "535", "538"])
        & ~pl.col("last_reply").str.contains("(?i)starttls"),
        _reply == "235",
    ),
    "ftp": Login(
        pl.col("reply_code").is_in([430, 530]),
        pl.col("reply_code") == 230,
        pl.col("command") == "PASS",
        pl.col("user"),
    ),
}

_SRC, _DST, _WHO = ("id.orig_h",), ("id.resp_h",), ("account",)
_KEY = ("service", *_WHO, *_SRC, *_DST, "outcome")
_FAILED = ("outcome", "failed")


def _largest(name: str, key: Key, words: str, of: Key = (), only: Key = ()) -> Feature:
    weight: Weight = "distinct" if of else "flows"
    return Feature(name, "logins", key, words, weight, "largest", only=only, of=of)


LOGIN_FEATURES = (
    Feature("attempts", "logins", (), "logins", kind="volume"),
    Feature("tries", "logins", (), "passwords tried", "tries", "volume"),
    *(
        Feature(
            name,
            "logins",
            (),
            f"logins that {outcome}"
            if outcome != "unknown"
            else "logins of no outcome",
            kind="volume",
            only=("outcome", outcome),
        )
        for name, outcome in (
            ("failures", "failed"),
            ("successes", "succeeded"),
            ("undecided", "unknown"),
        )
    ),
    Feature("outcome", "logins", ("outcome",), "outcome of a login"),
    Feature("login_service", "logins", ("service",), "service logged in to"),
    Feature("login_orig_h", "logins", _SRC, "source of a login"),
    Feature("login_resp_h", "logins", _DST, "target of a login"),
    Feature("account", "logins", _WHO, "account of a login"),
    Feature("failed_orig_h", "logins", _SRC, "source of failed logins", only=_FAILED),
    Feature("failed_resp_h", "logins", _DST, "target of failed logins", only=_FAILED),
    Feature("failed_account", "logins", _WHO, "account of failed logins", only=_FAILED),
    _largest("max_attempts", _SRC, "most logins of one source"),
    _largest("max_login_resp_h", _DST, "most logins to one target"),
    _largest("max_login_pair", (*_SRC, *_DST), "most logins of one pair"),
    _largest("max_failures", _SRC, "most failed logins of one source", only=_FAILED),
    _largest(
        "max_failed_resp_h", _DST, "most failed logins to one target", only=_FAILED
    ),
    _largest(
        "max_failed_account",
        (*_WHO, "service"),
        "most failed logins of one account",
        only=_FAILED,
    ),
    _largest("max_accounts", _SRC, "most accounts of one source", of=(*_SRC, *_WHO)),
    _largest(
        "max_login_sources",
        (*_WHO, "service"),
        "most sources of one account",
        of=(*_WHO, "service", *_SRC),
    ),
    _largest(
        "max_login_targets", _SRC, "most login targets of one source", of=(*_SRC, *_DST)
    ),
    _largest(
        "max_login_fan_in", _DST, "most login sources of one target", of=(*_SRC, *_DST)
    ),
)


def count_logins(log: str, frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Count the logins in rows of one log that carry ``minute``.

    Returns
    -------
    dict
        ``logins``: by service (the log), account, addresses and outcome (``failed``,
        ``succeeded`` or ``unknown``), with ``flows`` and ``tries``, integers only.
    """
    login = LOGINS[log]
    outcome = (
        pl.when(login.failed)
        .then(pl.lit("failed"))
        .when(login.succeeded)
        .then(pl.lit("succeeded"))
        .when(login.other)
        .then(pl.lit("unknown"))
    )
    rows = frame.select(
        "minute",
        *_SRC,
        *_DST,
        direction=pl.lit(0, pl.Int8),
        service=pl.lit(log),
        account=login.account,
        outcome=outcome,
        tries=login.tries,
    ).filter(pl.col("outcome").is_not_null())
    sums = {"flows": pl.len().cast(pl.Int64), "tries": pl.col("tries").sum()}
    return {"logins": rows.group_by("minute", "direction", *_KEY).agg(**sums)}
