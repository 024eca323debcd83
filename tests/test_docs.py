"""What the README says is there, runs, and is all there is."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import click
import pytest
from zeek import conn, write_conn

from entropy_ids.cli import cli
from entropy_ids.config import Config
from entropy_ids.pipeline import Watch
from entropy_ids.profile.store import Profile
from entropy_ids.settings import SETTINGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands(group: click.Group, above: str = "entropy-ids") -> list[str]:
    names = []
    for name, command in group.commands.items():
        full = f"{above} {name}"
        names += commands(command, full) if isinstance(command, click.Group) else [full]
    return names


def test_every_command_stands_in_the_readme():
    assert [name for name in commands(cli) if name not in README] == []


def test_every_command_line_of_the_readme_parses():
    lines = re.findall(r"(?m)^    (entropy-ids .+)$", README)
    assert len(lines) >= 4
    for line in lines:
        name, *arguments = shlex.split(line)[1:]
        cli.commands[name].make_context(name, arguments, resilient_parsing=False)


def test_the_first_two_commands_of_the_readme_are_make_targets():
    targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
    assert re.findall(r"(?m)^    make ([a-z-]+)", README)[:2] == ["demo", "test"]
    assert {*re.findall(r"`make ([a-z-]+)`", README), "demo", "test"} <= set(targets)


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_nothing_was_left_to_be_filled_in():
    for name in ("README.md", "CHANGELOG.md", "profiles/README.md"):
        assert not re.search(r"@[A-Z]+@|TODO|FIXME", (ROOT / name).read_text())


def test_the_example_configuration_is_accepted_and_says_the_defaults_it_shows():
    config = Config.load(ROOT / "examples" / "site.toml", environment={})
    assert config["site.timezone"] == "Europe/Berlin"
    shown = {key for key in config.given if not key.startswith("site.")}
    defaults = {setting.key: setting.default for setting in SETTINGS}
    assert shown
    assert {key: config[key] for key in shown} == {key: defaults[key] for key in shown}


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
def test_the_example_for_notebooks_runs(tmp_path, monkeypatch, capsys):
    rows = [conn(n, resp_p=n % 5, orig_h=f"10.0.0.{n % 7}") for n in range(400)]
    write_conn(tmp_path / "conn.log", rows)
    monkeypatch.setattr(sys, "argv", ["from_zat.py", str(tmp_path / "conn.log")])
    runpy.run_path(str(ROOT / "examples" / "from_zat.py"), run_name="__main__")
    assert "orig_h.all.renyi.1" in capsys.readouterr().out


def test_the_example_profile_can_be_watched_with():
    profile = Profile.read(ROOT / "profiles" / "example-office")
    assert Watch(profile, "office", 5).threshold == profile.manifest["threshold"]
    current = {setting.key for setting in SETTINGS if setting.trained}
    assert set(profile.manifest["settings"]) == current
