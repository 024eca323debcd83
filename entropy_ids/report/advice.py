"""What an analyst does next, by class, and what ATT&CK calls it."""

from __future__ import annotations

import re

from entropy_ids.profile.signatures import UNNAMED

NEXT_STEPS: dict[str, tuple[str, ...]] = {
    "port-scan": (
        "Ask whether the source is a known scanner (vulnerability management, a "
        "monitoring host); if so, write a suppression rule for it that expires.",
        "Of the ports that answered (conn_state SF or S1), check which should be "
        "reachable from there at all, and close the others.",
        "Look for later connections from the same source that carry bytes: a scan "
        "that found something is followed by a login or an exploit.",
        "From outside: block the source at the edge. From inside: treat the host as "
        "compromised until its owner explains the scan.",
    ),
    "network-scan": (
        "Find out what the source is: an inventory or monitoring job has an owner and "
        "a timetable; anything else inside is a compromised host until explained.",
        "List the targets that answered, and what was then exchanged with them.",
        "Look at the port that was tried: it tells the weakness that is sought; check "
        "that the hosts which offer it are patched.",
        "Isolate an inside source; block an outside one at the edge.",
    ),
    "dos": (
        "Check whether the target still serves its users (its own monitoring, the "
        "conn_state of other clients), and tell its owner.",
        "Limit or block the few sources named here as near to them as possible.",
        "Tell a broken client from an attack: the same request again and again from a "
        "host of the site is often a failed update or a retry without a pause.",
        "From an inside source: look for a bot; check its processes and DNS.",
    ),
    "ddos": (
        "Check whether the target still serves its users, and tell its owner and the "
        "provider; ask the provider to filter upstream if the line itself is full.",
        "See what the sources have in common (networks, port, packet size) and filter "
        "by that rather than by single, perhaps spoofed, addresses.",
        "Reflection (answers nobody asked for): drop the reflected source port at the "
        "edge, and make sure that no server of the site reflects in turn.",
        "Watch the rest of the network meanwhile: a flood may cover something quieter.",
    ),
    "worm": (
        "Isolate the sources named here now: each further minute may add one.",
        "Find the first of them (the earliest start in conn.log) and how it was "
        "reached shortly before: that is the way in.",
        "Close the port that is tried between network segments, and patch the service "
        "behind it on every host that offers it.",
        "List the targets that answered: check each for the same signs.",
    ),
    "brute-force": (
        "Look for a success: in ssh.log auth_success, in conn.log a last connection "
        "that is longer and carries more bytes than the failures before it.",
        "Check the target's own authentication log for the accounts that were tried; "
        "reset what was guessed, and look at what was done after the login.",
        "Block the sources, and ask why this login is reachable from there: a VPN, "
        "keys or a second factor end the matter.",
        "Rule out a script with an expired password: one account, one source, evenly "
        "spaced attempts.",
    ),
    "dns-tunnel": (
        "Look at the queries in dns.log: long random labels under one domain, many "
        "TXT, NULL or CNAME answers and hardly a repeated name are a tunnel.",
        "Ask whose domain it is; security products and some CDNs also put data in "
        "names: those are known and can be suppressed.",
        "Block the domain at the resolver, and isolate the host if nobody explains it.",
        "Add up the bytes that left in queries: they are the upper bound of what was "
        "taken out.",
    ),
    "exfiltration": (
        "Find out whose the destination is (server_name in ssl.log, host in http.log, "
        "owner of the address), and whether the site has business with it.",
        "Ask the source's owner: backups, cloud synchronisation and large uploads "
        "look the same, and recur at their own hours.",
        "If unexplained: cut off the host, keep its memory and disk, and note the "
        "bytes sent as the upper bound of what is lost.",
        "Look back at the days before: who logged in to that host, and what did it "
        "collect from others?",
    ),
    "point-to-multipoint": (
        "Is the source a mail server of the site? If it is, look for a mailing or a "
        "misused account; if not, it should not send mail at all: block port 25 for "
        "it.",
        "Look at mailfrom, subject and the servers' answers in smtp.log.",
        "Check the source for malware, and the site's addresses on the usual block "
        "lists before partners refuse its mail.",
    ),
    "flash-crowd": (
        "Check what the visitors came for (host and uri in http.log) and whether "
        "something was announced; usually no attack.",
        "Check that the server keeps up: times to answer, refused connections.",
        "If nobody knows of a reason, or the visitors ask for one thing without its "
        "pictures and styles, treat it as a denial of service.",
    ),
    "outage": (
        "Look at what is missing: which direction, service or server fell silent; is "
        "it down, or is it cut off?",
        "Make sure that it is no outage of the sensor: capture_loss.log, stats.log, "
        "the mirror port, and the data-quality remarks of these minutes.",
        "Ask for planned work: a maintenance window belongs into the suppression "
        "rules.",
    ),
    UNNAMED: (
        "Read the connections behind the values named here (uids): what are they, who "
        "takes part, and have these hosts spoken to each other before?",
        "Ask the owners of these hosts about new jobs, backups, updates or tests.",
        "If it is harmless and recurs, suppress it narrowly with an owner and a date "
        "of expiry, or train anew; if not, keep its uids and name it by what was "
        "found.",
    ),
}
"""Class → two to four steps, the most telling one first."""

_TECHNIQUES = {
    "T1018": "Remote System Discovery",
    "T1046": "Network Service Discovery",
    "T1048": "Exfiltration Over Alternative Protocol",
    "T1071.004": "Application Layer Protocol: DNS",
    "T1110": "Brute Force",
    "T1210": "Exploitation of Remote Services",
    "T1498": "Network Denial of Service",
    "T1498.002": "Network Denial of Service: Reflection Amplification",
    "T1499": "Endpoint Denial of Service",
    "T1566": "Phishing",
    "T1572": "Protocol Tunneling",
    "T1595": "Active Scanning",
}
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?", re.ASCII)


def next_steps(class_name: str) -> tuple[str, ...]:
    """Give what to do about a class; of an unknown one, what always helps."""
    return NEXT_STEPS.get(class_name, NEXT_STEPS[UNNAMED])


def technique(number: str) -> str:
    """Name an ATT&CK technique, and where to read about it.

    Examples
    --------
    >>> technique("T1071.004")
    'T1071.004 Application Layer Protocol: DNS (attack.mitre.org/techniques/T1071/004)'
    >>> technique("something else")
    'something else'
    """
    if not _TECHNIQUE.fullmatch(number):
        return number
    name = f"{number} {_TECHNIQUES.get(number, '')}".strip()
    return f"{name} (attack.mitre.org/techniques/{number.replace('.', '/')})"
