"""What befalls a site: the attacks that a command asks for, at their times."""

from dataclasses import dataclass
from pathlib import Path

from entropy_ids.errors import ConfigError
from entropy_ids.simulate.captures import every_capture
from entropy_ids.simulate.placed import Placed, every_class, schedule
from entropy_ids.simulate.rename import renamed
from entropy_ids.simulate.site import DAY_S


@dataclass(frozen=True)
class Trial:
    """Which attacks to lay over traffic.

    Attributes
    ----------
    seed
        Of all draws.
    classes
        Every class once, generated, within the last days.
    last_days
        How many days those are; None is a third of all, but at least one.
    captures
        A directory of captures, to be spread over all days, the generated attacks
        among them.
    scales
        Shares of their connections at which captures are placed, each once at each.
    rename
        From address or network to another, as ``FROM=TO``.
    """

    seed: int = 1
    classes: bool = False
    last_days: int | None = None
    captures: Path | None = None
    scales: tuple[float, ...] = (1.0,)
    rename: tuple[str, ...] = ()

    def place(self, first: float, last: float) -> list[Placed]:
        """Place the attacks in traffic from ``first`` to ``last`` (epoch s).

        Raises
        ------
        ConfigError
            If there is no room for all, or ``rename`` makes no sense.
        InputError
            If there are no captures, or one cannot be read.
        """
        plans = every_class(self.seed) if self.classes else []
        if self.captures:
            plans += every_capture(self.captures, self.scales)
        else:
            days = self.last_days or max(1, int(last - first) // DAY_S // 3)
            first = max(first, last - days * DAY_S)
        rules = dict(map(_rule, self.rename))
        return [renamed(p, rules) for p in schedule(plans, first, last, seed=self.seed)]


def _rule(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals:
        raise ConfigError(
            "--rename: expected FROM=TO such as 203.0.113.10=192.0.2.10, "
            f"found {text!r}"
        )
    return old, new
