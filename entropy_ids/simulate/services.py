"""What the office's traffic looks like: three tables to read and to extend.

``SHAPES`` says how one flow of a protocol looks in conn.log, ``HABITS`` who talks to
whom and how often, ``jobs`` what runs by the clock; how they are drawn stands in
``site``.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

#: A log-normal quantity: its median, and the sigma of its logarithm.
Size = tuple[float, float]


class Ending(NamedTuple):
    """One way in which flows of a shape end.

    The history decides what else the row shows: who sent data, who only flags, and
    (no small letter) that nobody answered.
    """

    share: float
    conn_state: str
    history: str
    pace: float = 1.0  # factor on the shape's duration: a refusal is quick


@dataclass(frozen=True)
class Shape:
    """How a flow of one protocol looks: proto, Zeek's service, sizes and endings.

    ``failed`` tells what came of the login that it is; None where it is none.
    """

    proto: str
    service: str | None
    endings: tuple[Ending, ...]
    duration: Size  # seconds; where nobody answers, retries decide
    orig_bytes: Size
    resp_bytes: Size = (0, 0)
    orig_p: tuple[int, int] = (32_768, 61_000)  # from, up to but without
    failed: bool | None = None


@dataclass(frozen=True)
class Habit:
    """Who talks to whom: two populations, responder ports (Zipf), flows a minute.

    Flows come in visits of one client: ``visit`` of them on average, 1 to 8, to at most
    three servers. The names of a share ``lookup`` of these are looked up before. Flows
    that ask for the name of something else say of which population: ``names``.
    """

    name: str
    clients: str
    servers: str
    shape: str
    ports: tuple[int, ...]
    night: float
    peak: float
    visit: float = 1.0
    lookup: float = 0.0
    names: str = ""


@dataclass(frozen=True)
class Job:
    """A habit by the clock: its peak while a run lasts, nothing between the runs.

    Runs are ``every_min`` apart (a divisor of a week) on the site's clocks, counted
    from Monday 00:00; ``at_min`` shifts them.
    """

    every_min: int
    at_min: int
    lasts_min: int
    habit: Habit


# All histories below occur in real logs of Zeek 4 to 6 with the same conn_state.
SESSION: Final = (
    Ending(0.58, "SF", "ShADadFf"),
    Ending(0.26, "SF", "ShADadfF"),
    Ending(0.03, "SF", "ShADadtFf"),
    Ending(0.06, "RSTO", "ShADadR", 8.0),
    Ending(0.03, "RSTR", "ShADadr", 8.0),
    Ending(0.01, "S1", "ShADad", 4.0),
    Ending(0.02, "S0", "S"),
    Ending(0.01, "REJ", "Sr", 0.01),
)
# The server speaks first (SMTP, SSH).
GREETED: Final = (
    Ending(0.75, "SF", "ShAdDaFf"),
    Ending(0.20, "SF", "ShAdDafF"),
    Ending(0.02, "RSTO", "ShAdDaFR"),
    Ending(0.03, "S0", "S"),
)
TRANSFER: Final = (
    Ending(0.70, "SF", "ShADadFf"),
    Ending(0.27, "SF", "ShADadfF"),
    Ending(0.03, "RSTO", "ShADadR"),
)
ANSWERED: Final = (Ending(0.985, "SF", "Dd"), Ending(0.015, "S0", "D"))
PING: Final = (Ending(0.97, "OTH", "Dd"), Ending(0.03, "OTH", "D"))
UNANSWERED: Final = (Ending(1.0, "S0", "D"),)
PROBE: Final = (
    Ending(0.50, "REJ", "Sr"),
    Ending(0.15, "REJ", "SrR", 500.0),
    Ending(0.31, "S0", "S"),
    Ending(0.04, "RSTO", "ShR", 500.0),
)

SMB: Final = "gssapi,ntlm,smb"
SHAPES: Final = {
    "dns": Shape("udp", "dns", ANSWERED, (0.004, 1.4), (40, 0.2), (120, 0.5)),
    "ssl": Shape("tcp", "ssl", SESSION, (1.2, 1.6), (1100, 0.8), (6e3, 1.6)),
    "http": Shape("tcp", "http", SESSION, (0.5, 1.5), (800, 0.8), (5e3, 1.7)),
    "denied": Shape(
        "tcp", "http", SESSION, (0.1, 1.0), (400, 0.3), (600, 0.2), failed=True
    ),
    "smb": Shape("tcp", SMB, SESSION, (4, 1.8), (4e3, 1.3), (9e3, 2.0)),
    "kerberos": Shape("tcp", "krb_tcp", SESSION, (0.01, 0.8), (1500, 0.3), (1600, 0.3)),
    "sql": Shape("tcp", "mysql", GREETED, (2, 1.7), (2e3, 1.4), (9e3, 1.8)),
    "print": Shape("tcp", None, TRANSFER, (6, 0.9), (3e5, 1.3), (60, 0.5)),
    "bulk": Shape("tcp", None, TRANSFER, (900, 0.5), (2.5e9, 0.6), (3e5, 0.5)),
    "update": Shape("tcp", "http", TRANSFER, (40, 0.9), (4e3, 0.8), (2e7, 1.1)),
    "smtp": Shape("tcp", "smtp", GREETED, (0.9, 1.0), (12e3, 1.6), (500, 0.4)),
    "ssh": Shape(
        "tcp", "ssh", GREETED, (60, 1.8), (6e3, 1.2), (12e3, 1.5), failed=False
    ),
    "guess": Shape(
        "tcp", "ssh", GREETED, (4, 0.6), (1250, 0.2), (1700, 0.2), failed=True
    ),
    "tunnel": Shape("udp", None, ANSWERED, (1500, 1.0), (1.5e7, 1.2), (6e7, 1.3)),
    "snmp": Shape("udp", "snmp", ANSWERED, (0.01, 0.8), (90, 0.4), (160, 0.5)),
    "ntp": Shape("udp", "ntp", ANSWERED, (0.012, 1.0), (48, 0), (48, 0), (123, 124)),
    "echo": Shape("icmp", None, PING, (0.001, 1.0), (56, 0), (56, 0), (8, 9)),
    "netbios": Shape("udp", "dns", UNANSWERED, (0, 0), (50, 0), orig_p=(137, 138)),
    "probe": Shape("tcp", None, PROBE, (0.0002, 0.7), (0, 0)),
    "datagram": Shape("udp", None, UNANSWERED, (0, 0), (60, 0.8)),
}

PROBED: Final = (
    23, 22, 445, 80, 8080, 3389, 443, 5900, 1433, 6379, 2222, 25, 8443, 3306, 21, 5555,
    81, 9200, 8000, 5432, 110, 2323, 27017, 37215, 1723, 8888, 60023, 7547,
)  # fmt: skip
PROBED_UDP: Final = (5060, 1900, 123, 53, 161, 11211, 389, 500)

# With the lookups they bring: about 25 flows a minute at night, 170 at the peak of a
# working day.
HABITS: Final = (
    Habit("lookups", "workstations", "resolvers", "dns", (53,), 3.2, 20.0,
          names="internet"),
    Habit("recursion", "resolvers", "nameservers", "dns", (53,), 2.6, 13.0,
          names="internet"),
    Habit("web", "workstations", "internet", "ssl", (443,), 3.0, 40.0, 3.2, 0.7),
    Habit("plain web", "workstations", "internet", "http", (80,), 0.5, 6.0, 2.4, 0.7),
    Habit("web by proxy", "workstations", "proxy", "http", (3128,), 0.3, 8.0, 2.5,
          names="internet"),
    Habit("intranet", "workstations", "intranet", "ssl", (443,), 0.2, 6.0, 2.0, 0.1),
    Habit("database", "intranet", "database", "sql", (3306,), 0.6, 3.0),
    Habit("shares", "workstations", "files", "smb", (445,), 0.4, 8.0, 1.3, 0.1),
    Habit("logons", "workstations", "resolvers", "kerberos", (88,), 0.4, 4.0, 1.5),
    Habit("mailboxes", "workstations", "mail", "ssl", (993,), 0.8, 7.0, 1.4, 0.1),
    Habit("printing", "workstations", "print", "http", (631,), 0.05, 1.2, 1.5),
    Habit("print jobs", "print", "printers", "print", (9100,), 0.02, 1.0),
    Habit("printer status", "print", "printers", "snmp", (161,), 1.0, 1.4),
    Habit("mail out", "mail", "internet", "smtp", (25,), 0.2, 2.0, lookup=0.8),
    Habit("mail in", "visitors", "exchanger", "smtp", (25,), 0.6, 2.2),
    Habit("website", "visitors", "website", "ssl", (443,), 2.0, 7.0, 2.0),
    Habit("plain website", "visitors", "website", "http", (80,), 0.6, 2.0, 1.5),
    Habit("denied pages", "visitors", "website", "denied", (80,), 0.02, 0.04),
    Habit("telework", "teleworkers", "gateway", "tunnel", (1194,), 0.03, 0.3),
    Habit("administration", "admins", "servers", "ssh", (22,), 0.1, 0.8, lookup=0.3),
    Habit("mistyped passwords", "admins", "servers", "guess", (22,), 0.003, 0.03),
    Habit("clocks", "workstations", "timeserver", "ntp", (123,), 1.5, 2.0),
    Habit("clock upstream", "timeserver", "nameservers", "ntp", (123,), 0.1, 0.1),
    Habit("monitoring", "monitor", "servers", "echo", (0,), 1.0, 1.0),
    Habit("name broadcasts", "workstations", "everybody", "netbios", (137,), 0.5, 2.5),
    Habit("probes", "scanners", "public", "probe", PROBED, 3.0, 3.0),
    Habit("UDP probes", "scanners", "public", "datagram", PROBED_UDP, 0.4, 0.4),
    Habit("SSH guesses", "scanners", "website", "guess", (22,), 0.2, 0.2),
)  # fmt: skip

HOUR_MIN: Final = 60
DAY_MIN: Final = 24 * HOUR_MIN
WEEK_MIN: Final = 7 * DAY_MIN
TUESDAY_3: Final = DAY_MIN + 3 * HOUR_MIN


def jobs(backup_h: float) -> tuple[Job, ...]:
    """Give what runs by the clock, with the nightly backup at this local hour."""
    start = round(backup_h * HOUR_MIN)
    return (
        Job(DAY_MIN, start, 20,
            Habit("backup", "saved", "backup", "bulk", (9103,), 0, 0.4)),
        Job(DAY_MIN, start, 40,
            Habit("backup control", "backup", "saved", "ssl", (9102,), 0, 9)),
        Job(DAY_MIN, start, 40,
            Habit("backup catalogue", "backup", "database", "sql", (3306,), 0, 4)),
        Job(WEEK_MIN, TUESDAY_3, 60,
            Habit("updates", "workstations", "updates", "update", (8530,), 0, 30)),
        Job(HOUR_MIN, 0, 1,
            Habit("inventory", "monitor", "servers", "snmp", (161,), 0, 10)),
        Job(HOUR_MIN, 0, 1,
            Habit("printer inventory", "monitor", "printers", "snmp", (161,), 0, 10)),
    )  # fmt: skip
