"""Settings of operation: incidents, files, and the daemon."""

from entropy_ids.settings.setting import (
    ADDRESS,
    COLLECTOR,
    DIRECTORY,
    FILE,
    SCHEDULE,
    Setting,
    between,
    one_of,
)

OPERATED: tuple[Setting, ...] = (
    Setting(
        "incidents.quiet_minutes",
        5,
        "minutes",
        "normal minutes of the log clock that close an incident",
        allowed=between(1, 1440),
    ),
    Setting(
        "reading.block_kib",
        4096,
        "KiB",
        "read at once; 8192 is no faster and takes 50 MB more",
        allowed=between(1, 1 << 20),
    ),
    Setting(
        "state.dir",
        "/var/lib/entropy-ids",
        "directory",
        "what the daemon must not forget: lock, checkpoint, status, candidates",
        allowed=DIRECTORY,
    ),
    Setting(
        "alarms.dir",
        "/var/log/entropy-ids",
        "directory",
        "the daemon's alarms, remarks and minutes, in one folder per sensor",
        allowed=DIRECTORY,
    ),
    Setting(
        "alarms.keep_days",
        90,
        "days",
        "log-clock days of the daemon's files; 0 keeps all",
        allowed=between(0, 36_500),
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
        allowed=FILE,
    ),
    Setting(
        "alarms.syslog",
        "",
        "address",
        "where alarms go besides: udp://host:514, tcp://host:514 or unix:///dev/log; "
        "nothing for nowhere",
        allowed=COLLECTOR,
    ),
    Setting(
        "alarms.syslog_payload",
        "plain",
        "",
        "the message behind the RFC 5424 header: plain is the summary, json a line of "
        "alarms.jsonl (lists cut to fit 8 KiB), notice the fields of notice.log",
        allowed=one_of("plain", "json", "ecs", "cef", "notice"),
    ),
    Setting(
        "daemon.poll_s",
        1.0,
        "s",
        "pause before logs are looked at again; Zeek flushes about once a second",
        allowed=between(0.05, 60),
    ),
    Setting(
        "daemon.listen",
        "127.0.0.1:9474",
        "host:port",
        "metrics and health over HTTP, without password: beyond loopback everyone "
        "who reaches it can read them; nothing to serve none",
        allowed=ADDRESS,
    ),
    Setting(
        "daemon.silence_min",
        10,
        "wall minutes",
        "without a row before sensor-silent is remarked; silence closes no minute",
        allowed=between(1, 10_080),
    ),
    Setting(
        "daemon.stream_behind_s",
        360,
        "wall s",
        "a logger behind the others for longer is dropped: Zeek holds a row for up to "
        "330 s",
        allowed=between(1, 86_400),
    ),
    Setting(
        "daemon.retrain",
        "",
        "cron",
        "when to train a candidate (minute, hour, day, month, name of weekday; site "
        "time); by default never: attacks that are trained on become usual",
        allowed=SCHEDULE,
    ),
    Setting(
        "daemon.retrain_days",
        28,
        "days",
        "that a candidate is trained on: four of each weekday",
        allowed=between(1, 366),
    ),
    Setting(
        "daemon.takeover",
        "manual",
        "",
        "manual: a candidate waits for entropy-ids profile use; guarded: it is taken "
        "when few bounds moved",
        allowed=one_of("manual", "guarded"),
    ),
    Setting(
        "daemon.most_bounds_moved",
        0.2,
        "share",
        "of bounds that a guarded candidate may move by more than their span, so that "
        "no one teaches the profile in large steps",
        allowed=between(0, 1),
    ),
    Setting(
        "daemon.learn_days",
        14,
        "days",
        "of archive and live logs before a sensor without profile trains its first: "
        "two of each weekday",
        allowed=between(1, 366),
    ),
)
