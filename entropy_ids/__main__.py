"""Run the command line: ``python -m entropy_ids``."""

from entropy_ids.cli import main

main()
