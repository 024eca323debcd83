"""The table of settings: each with a default, a unit and a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
)
