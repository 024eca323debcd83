"""The table of settings: each with a default, a unit and a reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    trained
        True when a profile is made with it, so that only training can change it.
    allowed
        What a value must satisfy, and the words that say so.
    """

    key: str
    default: Any
    unit: str
    reason: str
    trained: bool = False
    allowed: tuple[Callable[[Any], bool], str] | None = None


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, "one of " + ", ".join(names)


def _between(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: low <= value <= high, f"a number from {low:g} to {high:g}"


def _is_schedule(text: str) -> bool:
    """Tell a cron expression with names for its days, one that will come to pass."""
    from apscheduler.triggers.cron import CronTrigger

    if not re.fullmatch(r"(\S+ ){4}[a-z,*-]+", text, re.ASCII):
        return False
    try:
        trigger = CronTrigger.from_crontab(text, timezone=UTC)
    except ValueError:
        return False
    return bool(trigger.get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC)))


def _is_address(text: str) -> bool:
    found = re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", text, re.ASCII)
    return found is not None and int(found[2]) < 1 << 16


def _is_collector(text: str) -> bool:
    kind, found, rest = text.partition("://")
    if kind == "unix":
        return rest.startswith("/") and "\0" not in rest
    return bool(found) and kind in ("udp", "tcp") and _is_address(rest)


_SCHEDULE = (
    lambda text: text == "" or _is_schedule(text),
    "five cron fields, the last with names of days, such as '0 3 * * sun', or nothing",
)
_ADDRESS = (
    lambda text: text == "" or _is_address(text),
    "an address such as 127.0.0.1:9474 or [::1]:9474, or nothing",
)
_COLLECTOR = (
    lambda text: text == "" or _is_collector(text),
    "udp://host:port, tcp://host:port, unix:///path, or nothing",
)
_FILE = (lambda text: "\0" not in text, "a file, or nothing")
_DIRECTORY = (lambda text: text != "" and "\0" not in text, "a directory")
_ALPHAS = (
    lambda value: len(value) > 0 and all(-20 <= order <= 20 for order in value),
    "numbers from -20 to 20",
)

SETTINGS: tuple[Setting, ...] = (
    Setting("site.name", "site", "", "names the sensor in alarms unless --sensor does"),
    Setting(
        "site.timezone",
        "UTC",
        "IANA name",
        "weekday, weekend and hour are the site's own",
        trained=True,
    ),
    Setting(
        "site.weekend", ["Sat", "Sun"], "days", "their rhythm is another", trained=True
    ),
    Setting(
        "site.holidays", [], "dates", "count as weekend, e.g. 2026-12-25", trained=True
    ),
    Setting(
        "site.local_networks",
        [],
        "CIDR",
        "directions; when empty Zeek's local_orig and local_resp tell",
        trained=True,
    ),
    Setting(
        "entropy.kind",
        "renyi",
        "",
        "raw entropies; Tsallis orders the same but grows to 1e12 at alpha -2",
        trained=True,
        allowed=_one_of("renyi", "tsallis"),
    ),
    Setting(
        "entropy.alphas",
        [-2, -1, 0, 1, 2],
        "",
        "the paper asks for positive and negative orders; below 0 rare values rule",
        trained=True,
        allowed=_ALPHAS,
    ),
    Setting(
        "entropy.rarefy_to",
        16,
        "connections",
        "sample of the volume-invariant columns; minutes with fewer have none. Without "
        "these columns 70 of 84 attacks are found instead of 71 (README)",
        trained=True,
        allowed=_between(4, 1000),
    ),
    Setting(
        "detector.window_min",
        30,
        "minutes",
        "length of the sequences; 60 costs twice the time",
        trained=True,
        allowed=_between(2, 240),
    ),
    Setting(
        "detector.hidden",
        64,
        "units",
        "LSTM width; 128 costs three times the time",
        trained=True,
        allowed=_between(1, 1024),
    ),
    Setting(
        "detector.latent",
        32,
        "units",
        "the bottleneck, a third of the default columns",
        trained=True,
        allowed=_between(1, 1024),
    ),
    Setting(
        "detector.join",
        "mahalanobis",
        "",
        "how residuals become one score: of 84 attacks over an office, at one false "
        "incident a day (README), mahalanobis finds 73, whitened 68, mean-square (the "
        "paper) 58",
        trained=True,
        allowed=_one_of("mahalanobis", "mean-square", "whitened"),
    ),
    Setting(
        "training.epochs",
        20,
        "passes",
        "at most; stops early when held-out loss no longer falls",
        trained=True,
        allowed=_between(1, 1000),
    ),
    Setting(
        "training.pass_sequences",
        16384,
        "sequences",
        "drawn for one pass, at most: neighbours overlap by 29 of 30 minutes",
        trained=True,
        allowed=_between(1, 10_000_000),
    ),
    Setting(
        "training.patience",
        3,
        "passes",
        "passes without a better held-out loss before it stops",
        trained=True,
        allowed=_between(1, 1000),
    ),
    Setting(
        "training.batch",
        128,
        "sequences",
        "sequences per step of the optimiser; 256 is no faster",
        trained=True,
        allowed=_between(1, 4096),
    ),
    Setting(
        "training.learning_rate",
        1e-3,
        "",
        "Adam's usual step",
        trained=True,
        allowed=_between(1e-6, 1.0),
    ),
    Setting(
        "training.seed",
        1,
        "",
        "same seed, same logs, same profile hash",
        trained=True,
        allowed=_between(0, 2**31 - 1),
    ),
    Setting(
        "training.threads",
        1,
        "threads",
        "part of the result: sums are split by thread. Two save a third of the time, "
        "and beside other load cost ten times it",
        trained=True,
        allowed=_between(1, 64),
    ),
    Setting(
        "threshold.alarms_per_day",
        1.0,
        "incidents/day",
        "the budget, met on a quarter of the training days, unseen by the network; "
        "0 for none",
        trained=True,
        allowed=_between(0, 1440),
    ),
    Setting(
        "threshold.top_percent",
        0.2,
        "% of minutes",
        "without a budget: training minutes above the threshold, by construction 2.9 a "
        "day",
        trained=True,
        allowed=_between(0.001, 50.0),
    ),
    Setting(
        "judging.margin",
        "span",
        "",
        "span widens bounds by (k - 1)(max - min), ratio by the factor k; published "
        "(the paper) tightens the lower one: at 1.25 most normal minutes are flagged",
        trained=True,
        allowed=_one_of("span", "ratio", "published"),
    ),
    Setting(
        "judging.k",
        1.25,
        "",
        "width of the margin, 1 for none: of the signals of normal minutes 0.59 % lie "
        "outside at 1, 0.18 % at 1.1, 0.06 % at 1.25 (profile show tells yours)",
        trained=True,
        allowed=_between(1.0, 2.0),
    ),
    Setting(
        "judging.slot_minutes",
        120,
        "minutes",
        "an hour slot with fewer borrows from its neighbours and says so: a normal "
        "minute falls outside the bounds of n with chance 2/(n + 1)",
        trained=True,
        allowed=_between(1, 100_000),
    ),
    Setting(
        "incidents.quiet_minutes",
        5,
        "minutes",
        "normal minutes of the log clock that close an incident",
        allowed=_between(1, 1440),
    ),
    Setting(
        "reading.block_kib",
        4096,
        "KiB",
        "read at once; 8192 is no faster and takes 50 MB more",
        allowed=_between(1, 1 << 20),
    ),
    Setting(
        "state.dir",
        "/var/lib/entropy-ids",
        "directory",
        "what the daemon must not forget: lock, checkpoint, status, candidates",
        allowed=_DIRECTORY,
    ),
    Setting(
        "alarms.dir",
        "/var/log/entropy-ids",
        "directory",
        "the daemon's alarms, remarks and minutes, in one folder per sensor",
        allowed=_DIRECTORY,
    ),
    Setting(
        "alarms.keep_days",
        90,
        "days",
        "log-clock days of the daemon's files; 0 keeps all",
        allowed=_between(0, 36_500),
    ),
    Setting(
        "alarms.evidence_rows", 50, "rows", "in evidence/ID.json, per log; 0: none"
    ),
    Setting(
        "alarms.suppress",
        "",
        "file",
        "rules (TOML) for what is expected: such alarms are written with the rule's "
        "name; nothing for no rules",
        allowed=_FILE,
    ),
    Setting(
        "alarms.syslog",
        "",
        "address",
        "where alarms go besides: udp://host:514, tcp://host:514 or unix:///dev/log; "
        "nothing for nowhere",
        allowed=_COLLECTOR,
    ),
    Setting(
        "alarms.syslog_payload",
        "plain",
        "",
        "the message behind the RFC 5424 header: plain is the summary, json a line of "
        "alarms.jsonl (lists cut to fit 8 KiB), notice the fields of notice.log",
        allowed=_one_of("plain", "json", "ecs", "cef", "notice"),
    ),
    Setting(
        "daemon.poll_s",
        1.0,
        "s",
        "pause before logs are looked at again; Zeek flushes about once a second",
        allowed=_between(0.05, 60),
    ),
    Setting(
        "daemon.listen",
        "127.0.0.1:9474",
        "host:port",
        "metrics and health over HTTP, without password: beyond loopback everyone "
        "who reaches it can read them; nothing to serve none",
        allowed=_ADDRESS,
    ),
    Setting(
        "daemon.silence_min",
        10,
        "wall minutes",
        "without a row before sensor-silent is remarked; silence closes no minute",
        allowed=_between(1, 10_080),
    ),
    Setting(
        "daemon.stream_behind_s",
        360,
        "wall s",
        "a logger behind the others for longer is dropped: Zeek holds a row for up to "
        "330 s",
        allowed=_between(1, 86_400),
    ),
    Setting(
        "daemon.retrain",
        "",
        "cron",
        "when to train a candidate (minute, hour, day, month, name of weekday; site "
        "time); by default never: attacks that are trained on become usual",
        allowed=_SCHEDULE,
    ),
    Setting(
        "daemon.retrain_days",
        28,
        "days",
        "that a candidate is trained on: four of each weekday",
        allowed=_between(1, 366),
    ),
    Setting(
        "daemon.takeover",
        "manual",
        "",
        "manual: a candidate waits for entropy-ids profile use; guarded: it is taken "
        "when few bounds moved",
        allowed=_one_of("manual", "guarded"),
    ),
    Setting(
        "daemon.most_bounds_moved",
        0.2,
        "share",
        "of bounds that a guarded candidate may move by more than their span, so that "
        "no one teaches the profile in large steps",
        allowed=_between(0, 1),
    ),
    Setting(
        "daemon.learn_days",
        14,
        "days",
        "of archive and live logs before a sensor without profile trains its first: "
        "two of each weekday",
        allowed=_between(1, 366),
    ),
)
