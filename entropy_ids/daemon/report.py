"""How a sensor is, for people, metrics and monitoring."""

from __future__ import annotations

import pandas as pd

from entropy_ids.daemon import store
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.daemon.status import (
    ProfileStatus,
    SensorStatus,
    State,
    StreamStatus,
    moment,
)
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, MINUTE_S


def sensor_status(
    sensor: Sensor, now: float, rows_per_s: float, problem: str | None
) -> SensorStatus:
    """Say how a sensor is."""
    tally, account = sensor.tally, sensor.assembler.account
    profile = sensor.duty.profile
    lag = sum(follower.lag_bytes for follower in sensor.followers.values())
    clock = tally.last_minute
    names = store.known(sensor.config, sensor.sensor.name)
    return SensorStatus(
        name=sensor.sensor.name,
        state=_state(sensor, lag, problem),
        minute=moment(clock) if clock else None,
        lag_s=now - clock - MINUTE_S if clock else None,
        behind_bytes=lag,
        rows=account.rows,
        rows_per_s=rows_per_s,
        quarantined=dict(account.quarantined),
        minutes=tally.minutes,
        scored=tally.scored,
        score=tally.score,
        threshold=float(profile.manifest["threshold"]) if profile else None,
        incidents=tally.incidents,
        incidents_open=tally.open,
        alarms=dict(tally.alarms),
        last_alarm=tally.last_alarm,
        profile=_profile(profile) if profile else None,
        candidates=tuple(n for n in names if not profile or n != profile.hash),
        maturity=_maturity(sensor, profile),
        streams=tuple(_streams(sensor)),
        loss_percent=sensor.losses.percent,
        problems=tuple(_problems(sensor, problem)),
    )


def _state(sensor: Sensor, lag: int, problem: str | None) -> State:
    if problem:
        return "blocked"
    if any(follower.behind for follower in sensor.followers.values()):
        return "catching-up"
    if sensor.is_silent:
        return "silent"
    return "watching" if sensor.duty.profile else "learning"


def _profile(profile: Profile) -> ProfileStatus:
    span = profile.manifest["range"]
    first, last = (pd.Timestamp(span[key]).timestamp() for key in ("first", "last"))
    return ProfileStatus(
        str(profile.manifest["sensor"]), profile.hash, moment(first), moment(last)
    )


def _maturity(sensor: Sensor, profile: Profile | None) -> str:
    if profile is None:
        days = sensor.tally.minutes / DAY_MINUTES
        wanted = sensor.config["daemon.learn_days"]
        return f"{days:.1f} of {wanted:g} days seen; no attack is told of yet"
    lent = float((profile.bounds["borrowed"] > 0).mean())
    days = profile.manifest["range"]["minutes"] / DAY_MINUTES
    return f"trained on {days:.1f} days; {lent:.0%} of its bounds borrow from others"


def _streams(sensor: Sensor) -> list[StreamStatus]:
    made = []
    for name, follower in sensor.followers.items():
        cursor, clock = follower.cursor, sensor.assembler.clock_s(name)
        made.append(
            StreamStatus(
                name,
                cursor.path if cursor else "",
                cursor.offset if cursor else 0,
                moment(clock) if clock else None,
            )
        )
    return made


def _problems(sensor: Sensor, problem: str | None) -> list[str]:
    """Name what an operator should look at."""
    found = [problem] if problem else []
    found += [
        f"{path}: expected to read it, found: {what}"
        for follower in sensor.followers.values()
        for path, what in follower.problems.items()
    ]
    found += [sensor.unread] if sensor.unread else []
    waited = sensor.assembler.waited
    found += [
        f"stream {name} is waited for no more"
        for name in sensor.followers
        if name not in waited
    ]
    return found
