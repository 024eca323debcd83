"""The daemon marks and forwards alarms, and a replay of its journal marks the same."""

import socket

import pytest
import rfc5424
from live import assert_same, replayed_by_command
from test_daemon import Watching, alarms_in

from entropy_ids.daemon.run import Daemon

RULE = """
[[rule]]
name = "r"
owner = "o"
reason = "x"
expires = "never"
class = "{}"
"""


@pytest.mark.parametrize("kill_after", [1, 3, 6])
def test_rules_that_change_meanwhile_mark_the_same_in_the_replay(
    tmp_path, profile_dir, office, monkeypatch, kill_after
):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULE.format("dos"))
    watching = Watching(tmp_path, profile_dir, office)
    file = tmp_path / "site.toml"
    file.write_text(
        file.read_text().replace("[alarms]", f'[alarms]\nsuppress = "{rules}"')
    )
    watching.config = watching.config.reload()
    watching.daemon = Daemon(watching.config, watching.zeek.now)
    lives = watching.lives(monkeypatch)
    watching.play("10:41")
    lives.go_on()
    rules.write_text(RULE.format("port-scan"))
    lives.one.reload.set()
    lives.go_on([kill_after])
    watching.play("10:59")
    lives.go_on()
    found = alarms_in(tmp_path / "alarms")
    marks = [a["suppressed_by"] for a in found if a["class"] == "port-scan"]
    assert (marks[0], marks[-1]) == (None, "r")
    next_open = lives.one.sensors["s"].assembler.next_open
    again = replayed_by_command(tmp_path, profile_dir, next_open)
    assert_same(tmp_path / "alarms", again)


def test_the_daemon_forwards_what_it_writes(tmp_path, profile_dir, office):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(("127.0.0.1", 0))
        taker.settimeout(5)
        watching = Watching(tmp_path, profile_dir, office)
        file = tmp_path / "site.toml"
        where = f"udp://127.0.0.1:{taker.getsockname()[1]}"
        file.write_text(
            file.read_text().replace("[alarms]", f'[alarms]\nsyslog = "{where}"')
        )
        watching.daemon.reload.set()
        watching.daemon.poll()
        watching.play("10:59")
        watching.daemon.poll()
        found = alarms_in(tmp_path / "alarms")
        assert found
        told = [rfc5424.read(taker.recv(1 << 16)) for _ in found]
        assert [one.params["id"] for one in told] == [one["id"] for one in found]
        watching.daemon.forwarding.close()
