"""Read: archived and live conn logs of one or several loggers become flow batches."""

from entropy_ids.collector.archive import LogFile, find_logs
from entropy_ids.collector.parse import Parsed, parse
from entropy_ids.collector.schema import from_pandas
from entropy_ids.collector.segments import Segment, segments
from entropy_ids.collector.tail import Cursor, Follower

__all__ = [
    "Cursor",
    "Follower",
    "LogFile",
    "Parsed",
    "Segment",
    "find_logs",
    "from_pandas",
    "parse",
    "segments",
]
