"""The table of settings: each with a default, a unit and a reason."""

from entropy_ids.settings.learned import LEARNED
from entropy_ids.settings.operated import OPERATED
from entropy_ids.settings.setting import Setting

SETTINGS: tuple[Setting, ...] = LEARNED + OPERATED

__all__ = ["SETTINGS", "Setting"]
