"""Who is there: the office's machines, the Internet it knows, and what they are called.

Every server has one name, and every name can be turned back into its address.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.simulate.flows import INTERNET_HOSTS, internet, workstation

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: The names of the office; RFC 2606 gives them to nobody.
OFFICE: Final = {
    "ns1.office.example": "10.20.0.53",
    "ns2.office.example": "10.20.0.54",
    "mail.office.example": "10.20.0.25",
    "files1.office.example": "10.20.0.45",
    "files2.office.example": "10.20.0.46",
    "intranet.office.example": "10.20.0.70",
    "database.office.example": "10.20.0.71",
    "updates.office.example": "10.20.0.72",
    "proxy.office.example": "10.20.0.80",
    "backup.office.example": "10.20.0.90",
    "print.office.example": "10.20.0.91",
    "time.office.example": "10.20.0.123",
    "monitor.office.example": "10.20.0.161",
    "OFFICE": "10.20.255.255",  # a NetBIOS name, asked for by broadcast
    "www.office.example": "203.0.113.10",
    "shop.office.example": "203.0.113.11",
    "mx.office.example": "203.0.113.25",
    "vpn.office.example": "203.0.113.40",
}
ADDRESSES: Final = {address: name for name, address in OFFICE.items()}
ZONES: Final = ("example.net", "example.com", "example.org")
PRINTERS: Final = 24


@dataclass(frozen=True)
class Hosts:
    """A population: addresses, their names, and how often each is drawn.

    Weights sum to 1. Machines that nobody looks up have names too; they are not used.
    """

    addresses: pl.Series
    names: pl.Series
    weights: FloatArray

    def draw(self, rng: np.random.Generator, n: int) -> IntArray:
        """Draw ``n`` of them, as positions, with replacement."""
        return rng.choice(len(self.weights), n, p=self.weights)

    def draw_addresses(self, rng: np.random.Generator, n: int) -> pl.Series:
        """Draw the addresses of ``n`` of them."""
        return self.addresses.gather(self.draw(rng, n))

    def weighted(self, factors: FloatArray) -> "Hosts":
        """Give the same machines other weights: ``factors`` times what they have."""
        weights = self.weights * factors
        return Hosts(self.addresses, self.names, weights / weights.sum())


def internet_name(number: int) -> str:
    """Return the name of an Internet host."""
    return f"w{number}.{ZONES[number % len(ZONES)]}"


def address_of(name: pl.Expr) -> pl.Expr:
    """Turn names into addresses; null where nobody has the name.

    Examples
    --------
    >>> names = pl.Series([internet_name(300), "www.office.example", "x.example"])
    >>> pl.select(address_of(pl.lit(names))).to_series().to_list()
    ['198.18.1.44', '203.0.113.10', None]
    """
    number = name.str.extract(r"^w(\d+)\.example\.").cast(pl.Int64)
    outside = pl.format("198.18.{}.{}", number // 256, number % 256)
    office = name.replace_strict(OFFICE, default=None, return_dtype=pl.String)
    return pl.coalesce(outside, office)


def zipf(n: int, exponent: float = 0.9) -> FloatArray:
    """Return ``n`` falling weights that sum to 1."""
    weights: FloatArray = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    weights /= weights.sum()
    return weights


def populations(rng: np.random.Generator) -> dict[str, Hosts]:
    """Lay out the office and its Internet; all popularity is Zipf-like."""
    staff = rng.permutation(rng.integers(250, 351)).tolist()
    outside = rng.permutation(INTERNET_HOSTS)[:12_000].tolist()
    return (
        _office()
        | {
            "workstations": _hosts([workstation(i) for i in staff], 0.4),
            "admins": _hosts([workstation(i) for i in staff[:3]], 0.5),
        }
        | {
            name: Hosts(
                pl.Series([internet(i) for i in numbers]),
                pl.Series([internet_name(i) for i in numbers]),
                zipf(len(numbers), exponent),
            )
            for name, numbers, exponent in (
                ("internet", outside[:3000], 1.0),
                ("nameservers", outside[3000:3400], 0.9),
                ("scanners", outside[3400:4000], 0.8),
                ("visitors", outside[4000:], 0.5),
                ("teleworkers", outside[-40:], 0.3),
            )
        }
    )


def _office() -> dict[str, Hosts]:
    """Lay out what is the same in every office: the servers and the printers."""
    servers = [a for a in OFFICE.values() if a.startswith("10.20.0.")]
    roles = {
        "resolvers": ("ns1", "ns2"),
        "files": ("files1", "files2"),
        "saved": ("files1", "files2", "mail", "database"),
        "website": ("www", "shop"),
        "public": ("www", "shop", "mx", "vpn"),
        "mail": ("mail",),
        "intranet": ("intranet",),
        "database": ("database",),
        "updates": ("updates",),
        "proxy": ("proxy",),
        "backup": ("backup",),
        "print": ("print",),
        "timeserver": ("time",),
        "monitor": ("monitor",),
        "exchanger": ("mx",),
        "gateway": ("vpn",),
    }
    printers = [f"10.20.5.{i}" for i in range(1, PRINTERS + 1)]
    return {
        role: _hosts([OFFICE[f"{name}.office.example"] for name in names], 0.8)
        for role, names in roles.items()
    } | {
        "servers": _hosts(servers[:-1], 0.3),  # all but the monitor itself
        "printers": _hosts(printers, 0.5),
        "everybody": _hosts(["10.20.255.255"], 1.0),
    }


def _hosts(addresses: list[str], exponent: float) -> Hosts:
    names = [ADDRESSES.get(address, "") for address in addresses]
    return Hosts(pl.Series(addresses), pl.Series(names), zipf(len(names), exponent))
