"""Watch: the daemon that runs beside live sensors."""
