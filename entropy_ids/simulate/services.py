"""What the office's traffic looks like: two tables to read and to extend.

``SHAPES`` says how one flow of a protocol looks in conn.log, ``HABITS`` who talks to
whom and how often; how they are drawn stands in ``site``.
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
    """How a flow of one protocol looks: proto, Zeek's service, sizes and endings."""

    proto: str
    service: str | None
    endings: tuple[Ending, ...]
    duration: Size  # seconds; where nobody answers, retries decide
    orig_bytes: Size
    resp_bytes: Size = (0, 0)
    orig_p: tuple[int, int] = (32_768, 61_000)  # from, up to but without


@dataclass(frozen=True)
class Habit:
    """Who talks to whom: two populations, responder ports (Zipf), flows a minute."""

    name: str
    clients: str
    servers: str
    shape: str
    ports: tuple[int, ...]
    night: float
    peak: float


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
    "http": Shape("tcp", "http", SESSION, (0.5, 1.5), (450, 0.6), (3e3, 1.7)),
    "smb": Shape("tcp", SMB, SESSION, (4, 1.8), (4e3, 1.3), (9e3, 2.0)),
    "smtp": Shape("tcp", "smtp", GREETED, (0.9, 1.0), (12e3, 1.6), (500, 0.4)),
    "ssh": Shape("tcp", "ssh", GREETED, (60, 1.8), (6e3, 1.2), (12e3, 1.5)),
    "guess": Shape("tcp", "ssh", GREETED, (4, 0.6), (1250, 0.2), (1700, 0.2)),
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

# About 25 flows a minute at night, 150 at the peak of a working day.
HABITS: Final = (
    Habit("lookups", "workstations", "resolvers", "dns", (53,), 5.0, 42.0),
    Habit("recursion", "resolvers", "nameservers", "dns", (53,), 3.0, 14.0),
    Habit("web", "workstations", "internet", "ssl", (443,), 4.0, 36.0),
    Habit("plain web", "workstations", "internet", "http", (80,), 0.7, 8.0),
    Habit("web by proxy", "workstations", "proxy", "http", (3128,), 0.4, 9.0),
    Habit("shares", "workstations", "files", "smb", (445,), 0.5, 9.0),
    Habit("mailboxes", "workstations", "mail", "ssl", (993,), 1.0, 8.0),
    Habit("mail out", "mail", "internet", "smtp", (25,), 0.2, 2.5),
    Habit("mail in", "visitors", "exchanger", "smtp", (25,), 0.6, 2.5),
    Habit("website", "visitors", "website", "ssl", (443,), 2.2, 7.0),
    Habit("plain website", "visitors", "website", "http", (80,), 0.8, 2.0),
    Habit("administration", "admins", "servers", "ssh", (22,), 0.1, 0.8),
    Habit("clocks", "workstations", "timeserver", "ntp", (123,), 1.5, 2.0),
    Habit("clock upstream", "timeserver", "nameservers", "ntp", (123,), 0.1, 0.1),
    Habit("monitoring", "monitor", "servers", "echo", (0,), 1.0, 1.0),
    Habit("name broadcasts", "workstations", "everybody", "netbios", (137,), 0.5, 3.0),
    Habit("probes", "scanners", "public", "probe", PROBED, 3.0, 3.0),
    Habit("UDP probes", "scanners", "public", "datagram", PROBED_UDP, 0.4, 0.4),
    Habit("SSH guesses", "scanners", "website", "guess", (22,), 0.2, 0.2),
)
