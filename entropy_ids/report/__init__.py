"""The report: what a replay or a daemon wrote, told to a person.

`entropy_ids.report.found` reads it back, `entropy_ids.report.page` makes one HTML file
of it, `entropy_ids.report.terminal` explains one incident. uPlot 1.6.32 (MIT, see
``uplot.LICENSE``) stands in ``uplot.js`` and ``uplot.css`` as its author gives it.
"""
