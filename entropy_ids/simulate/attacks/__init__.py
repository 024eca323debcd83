"""Generated attacks: flows like the site's own, and the label that says what they are.

One function and one line in ``ATTACKS`` make an attack; a name begins with the class
that an alarm should give. What real ones look like was read off captures of real tools.
"""

from typing import Final

from entropy_ids.simulate.attacks import floods, scans, sessions
from entropy_ids.simulate.attacks.draw import Attack

__all__ = ["ATTACKS", "USUAL", "Attack"]

ATTACKS: Final[dict[str, Attack]] = {
    "port-scan": scans.port_scan,
    "port-scan-udp": scans.udp_scan,
    "network-scan": scans.network_scan,
    "network-scan-ping": scans.ping_sweep,
    "dos": floods.syn_flood,
    "dos-http": floods.http_flood,
    "ddos": floods.spoofed_flood,
    "ddos-http": floods.botnet_flood,
    "ddos-amplification": floods.amplification,
    "worm": scans.worm,
    "brute-force": sessions.ssh_guesses,
    "brute-force-http": sessions.http_guesses,
    "dns-tunnel": sessions.dns_tunnel,
    "exfiltration": sessions.exfiltration,
    "point-to-multipoint": sessions.spam_run,
    "flash-crowd": floods.flash_crowd,
    "outage": floods.outage,
    "beacon": sessions.beacon,
}

#: How an attack usually is: its duration (s) and its flows a minute. Rates are those of
#: the captures, or what is seen in practice; all but the beacon should be found.
USUAL: Final[dict[str, tuple[float, float]]] = {
    "port-scan": (480, 240),
    "port-scan-udp": (480, 120),
    "network-scan": (480, 240),
    "network-scan-ping": (360, 200),
    "dos": (360, 600),
    "dos-http": (360, 600),
    "ddos": (360, 600),
    "ddos-http": (360, 600),
    "ddos-amplification": (360, 500),
    "worm": (600, 300),
    "brute-force": (600, 60),
    "brute-force-http": (600, 200),
    "dns-tunnel": (600, 300),
    "exfiltration": (600, 3),
    "point-to-multipoint": (600, 300),
    "flash-crowd": (900, 300),
    "outage": (900, 0),
    "beacon": (3600, 1),
}
