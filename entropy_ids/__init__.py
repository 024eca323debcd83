"""Network anomaly detection from the entropies of Zeek conn logs.

Data passes once, from left to right: ``collector`` reads, ``features`` counts and
measures, ``detectors`` score, ``profile`` judges, ``alarms`` tell. ``pipeline`` joins
them; ``replay`` drives them over an archive.
"""

__version__ = "0.1.0.dev0"
