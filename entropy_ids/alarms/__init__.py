"""Group, explain and emit: verdicts of adjacent minutes become alarms in files."""
