"""The one tree of errors; what a bad *row* costs is a count, never an exception.

Every message is one sentence: what was expected, what was found, where, and what to do.
The command line alone catches these, prints the sentence and exits with ``exit_code``.
"""


class EntropyIdsError(Exception):
    """Anything that this package raises on purpose."""

    exit_code = 1


class ConfigError(EntropyIdsError):
    """A setting or an argument cannot be used."""

    exit_code = 2


class InputError(EntropyIdsError):
    """A log file, directory or table is missing, unreadable or of another kind."""

    exit_code = 3


class ProfileError(EntropyIdsError):
    """A profile is damaged, or does not fit what it is used for."""

    exit_code = 4


class StateError(EntropyIdsError):
    """What the daemon keeps between two runs is damaged, or of a newer version."""

    exit_code = 4
