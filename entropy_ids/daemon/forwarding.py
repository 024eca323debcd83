"""The daemon's forwarders: one per sensor, begun anew with each configuration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from entropy_ids.alarms.forward import Collector, Forwarder, forwarding
from entropy_ids.config import Config

CURSOR = "forward.json"


class Forwarding:
    """Forwards alarms where the settings say, each sensor's in a thread of its own."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._forwarders: dict[str, Forwarder] = {}

    def begin(self, config: Config, places: Mapping[str, tuple[Path, Path]]) -> None:
        """Forward from now on as a configuration says.

        Parameters
        ----------
        places
            By sensor the directories of its alarms and of its state.
        """
        self.close()
        if config["alarms.syslog"]:
            self._forwarders = {
                name: Forwarder(
                    alarms,
                    state / CURSOR,
                    Collector(config["alarms.syslog"]),
                    config["alarms.syslog_payload"],
                )
                for name, (alarms, state) in places.items()
            }
        self._stack.enter_context(forwarding(self._forwarders.values()))

    def close(self) -> None:
        """Forward no more; what is not sent waits in its files."""
        self._stack.close()
        self._forwarders = {}

    @property
    def problems(self) -> dict[str, str]:
        """Why alarms wait, by sensor; empty when none do."""
        told = {name: one.problem for name, one in self._forwarders.items()}
        return {name: problem for name, problem in told.items() if problem}
