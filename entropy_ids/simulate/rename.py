"""Gives the hosts of an attack the addresses of the site that it is laid over."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

import polars as pl

from entropy_ids.errors import ConfigError
from entropy_ids.simulate.placed import Placed

Network = IPv4Network | IPv6Network
HOSTS: Final = ("id.orig_h", "id.resp_h")


def renamed(placed: Placed, plan: Mapping[str, str]) -> Placed:
    """Move addresses, in rows and label, by a plan of networks.

    Names and texts in sibling logs stay, and so do ``local_orig`` and ``local_resp``:
    who was inside stays inside.

    Parameters
    ----------
    plan
        From an address or network to another of the same size. Of several that hold an
        address the smallest counts; what none holds stays.

    Raises
    ------
    ConfigError
        If two do not have the same size.
    """
    rules = _rules(plan)
    label = replace(
        placed.label,
        attackers=_sides(placed.label.attackers, rules),
        victims=_sides(placed.label.victims, rules),
    )
    logs = {
        log: rows.with_columns(_column(rows[host], rules) for host in HOSTS)
        for log, rows in placed.logs.items()
    }
    return replace(placed, logs=logs, label=label)


def _rules(plan: Mapping[str, str]) -> list[tuple[Network, Network]]:
    """Read a plan, the smallest networks first."""
    rules = []
    for old, new in plan.items():
        try:
            pair = ip_network(old), ip_network(new)
        except ValueError:
            pair = None
        if pair is None or _size(pair[0]) != _size(pair[1]):
            raise ConfigError(
                "expected two addresses or two networks of the same size to rename, "
                f"such as 10.99.0.0/24=192.0.2.0/24, found {old}={new}"
            )
        rules.append(pair)
    return sorted(rules, key=lambda rule: -rule[0].prefixlen)


def _moved(hosts: Network, rules: Iterable[tuple[Network, Network]]) -> Network:
    for old, new in rules:
        if _within(hosts, old):
            offset = int(hosts.network_address) - int(old.network_address)
            return type(new)((int(new.network_address) + offset, hosts.prefixlen))
    return hosts


def _within(hosts: Network, network: Network) -> bool:
    offset = int(hosts.network_address) - int(network.network_address)
    same = hosts.version == network.version and hosts.prefixlen >= network.prefixlen
    return same and 0 <= offset < network.num_addresses


def _sides(
    networks: Iterable[str], rules: list[tuple[Network, Network]]
) -> tuple[str, ...]:
    """Move networks; hosts in one that have a rule of their own are named besides."""
    moved = dict[str, None]()
    for text in networks:
        network = ip_network(text)
        apart = [new for old, new in rules if old != network and _within(old, network)]
        moved |= dict.fromkeys(map(plain, [_moved(network, rules), *apart]))
    return tuple(moved)


def _size(network: Network) -> tuple[int, int]:
    return network.version, network.prefixlen


def plain(network: Network) -> str:
    """Spell a network of one address as that address."""
    return str(network.network_address if network.num_addresses == 1 else network)


def _column(hosts: pl.Series, rules: list[tuple[Network, Network]]) -> pl.Series:
    known = hosts.unique().to_list()
    moved = [plain(_moved(ip_network(host), rules)) for host in known]
    return hosts.replace_strict(known, moved, return_dtype=pl.String)
