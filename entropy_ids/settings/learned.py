"""Settings of the site and of what is learned: most make a profile."""

from entropy_ids.settings.setting import ALPHAS, Setting, between, one_of

LEARNED: tuple[Setting, ...] = (
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
        "features.set",
        "conn",
        "",
        "what is measured: conn the default columns, ddos floods in conn, "
        "failed-logins and dns-exfiltration what other logs beside conn tell of them, "
        "everything the default columns and both",
        trained=True,
        allowed=one_of(
            "conn", "ddos", "failed-logins", "dns-exfiltration", "everything"
        ),
    ),
    Setting(
        "entropy.kind",
        "renyi",
        "",
        "raw entropies; Tsallis orders the same but grows to 1e12 at alpha -2",
        trained=True,
        allowed=one_of("renyi", "tsallis"),
    ),
    Setting(
        "entropy.alphas",
        [-2, -1, 0, 1, 2],
        "",
        "the paper asks for positive and negative orders; below 0 rare values rule",
        trained=True,
        allowed=ALPHAS,
    ),
    Setting(
        "entropy.rarefy_to",
        16,
        "connections",
        "sample of the volume-invariant columns; minutes with fewer have none. Without "
        "these columns 70 of 84 attacks are found instead of 71 (README)",
        trained=True,
        allowed=between(4, 1000),
    ),
    Setting(
        "detector.window_min",
        30,
        "minutes",
        "length of the sequences; 60 costs twice the time",
        trained=True,
        allowed=between(2, 240),
    ),
    Setting(
        "detector.hidden",
        64,
        "units",
        "LSTM width; 128 costs three times the time",
        trained=True,
        allowed=between(1, 1024),
    ),
    Setting(
        "detector.latent",
        32,
        "units",
        "the bottleneck, a third of the default columns",
        trained=True,
        allowed=between(1, 1024),
    ),
    Setting(
        "detector.channels",
        64,
        "filters",
        "of conv-bilstm-autoencoder's convolution over three minutes; half of them "
        "find 69 of 84 attacks instead of 71, in a fifth less time",
        trained=True,
        allowed=between(1, 1024),
    ),
    Setting(
        "detector.dropout",
        0.1,
        "share",
        "of values between the layers of conv-bilstm-autoencoder that training leaves "
        "out; with 0, 0.1 and 0.2 72, 71 and 69 of 84 attacks are found",
        trained=True,
        allowed=between(0, 0.9),
    ),
    Setting(
        "detector.words",
        "proto-bytes",
        "",
        "what flow-language-model reads: protocol and size of a connection, or its "
        "service port (ports)",
        trained=True,
        allowed=one_of("proto-bytes", "ports"),
    ),
    Setting(
        "detector.context",
        "source",
        "",
        "whose connections attention-multi-flow sees before each: of the same source, "
        "the same pair, or all (link)",
        trained=True,
        allowed=one_of("source", "pair", "link"),
    ),
    Setting(
        "detector.length",
        10,
        "connections",
        "that attention-multi-flow sees together; the paper found 20 no better",
        trained=True,
        allowed=between(2, 100),
    ),
    Setting(
        "detector.join",
        "mahalanobis",
        "",
        "how residuals become one score: of 84 attacks over an office, at one false "
        "incident a day (README), mahalanobis finds 73, whitened 68, mean-square (the "
        "paper) 58",
        trained=True,
        allowed=one_of("mahalanobis", "mean-square", "whitened"),
    ),
    Setting(
        "training.epochs",
        20,
        "passes",
        "at most; stops early when held-out loss no longer falls",
        trained=True,
        allowed=between(1, 1000),
    ),
    Setting(
        "training.pass_sequences",
        16384,
        "sequences",
        "drawn for one pass, at most: neighbours overlap by 29 of 30 minutes",
        trained=True,
        allowed=between(1, 10_000_000),
    ),
    Setting(
        "training.patience",
        3,
        "passes",
        "passes without a better held-out loss before it stops",
        trained=True,
        allowed=between(1, 1000),
    ),
    Setting(
        "training.batch",
        128,
        "sequences",
        "sequences per step of the optimiser; 256 is no faster",
        trained=True,
        allowed=between(1, 4096),
    ),
    Setting(
        "training.learning_rate",
        1e-3,
        "",
        "Adam's usual step",
        trained=True,
        allowed=between(1e-6, 1.0),
    ),
    Setting(
        "training.seed",
        1,
        "",
        "same seed, same logs, same profile hash",
        trained=True,
        allowed=between(0, 2**31 - 1),
    ),
    Setting(
        "training.threads",
        1,
        "threads",
        "part of the result: sums are split by thread. Two save a third of the time, "
        "and beside other load cost ten times it",
        trained=True,
        allowed=between(1, 64),
    ),
    Setting(
        "threshold.alarms_per_day",
        1.0,
        "incidents/day",
        "the budget, met on a quarter of the training days, unseen by the network; "
        "0 for none",
        trained=True,
        allowed=between(0, 1440),
    ),
    Setting(
        "threshold.top_percent",
        0.2,
        "% of minutes",
        "without a budget: training minutes above the threshold, by construction 2.9 a "
        "day",
        trained=True,
        allowed=between(0.001, 50.0),
    ),
    Setting(
        "judging.margin",
        "span",
        "",
        "span widens bounds by (k - 1)(max - min), ratio by the factor k; published "
        "(the paper) tightens the lower one: at 1.25 most normal minutes are flagged",
        trained=True,
        allowed=one_of("span", "ratio", "published"),
    ),
    Setting(
        "judging.k",
        1.25,
        "",
        "width of the margin, 1 for none: of the signals of normal minutes 0.59 % lie "
        "outside at 1, 0.18 % at 1.1, 0.06 % at 1.25 (profile show tells yours)",
        trained=True,
        allowed=between(1.0, 2.0),
    ),
    Setting(
        "judging.slot_minutes",
        120,
        "minutes",
        "an hour slot with fewer borrows from its neighbours and says so: a normal "
        "minute falls outside the bounds of n with chance 2/(n + 1)",
        trained=True,
        allowed=between(1, 100_000),
    ),
)
