"""Count and measure: flow batches become minutes of counts, and entropy series."""

from entropy_ids.features.assembler import Assembler
from entropy_ids.features.catalog import Column, default_columns
from entropy_ids.features.series import Measure
from entropy_ids.types import EntropySeries, FlowBatch

RAREFY_TO = 16


def entropy_series(
    batch: FlowBatch,
    columns: list[Column] | None = None,
    rarefy_to: int = RAREFY_TO,
) -> EntropySeries:
    """Measure one batch of flows: the short way for notebooks.

    Parameters
    ----------
    batch
        Connections in the order of the log, such as
        `entropy_ids.collector.from_pandas` gives.
    columns
        What to measure; the default columns when None.
    rarefy_to
        Sample of the volume-invariant columns, connections.

    Returns
    -------
    EntropySeries
        Minutes of the log clock × columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from entropy_ids.collector import from_pandas
    >>> table = pd.DataFrame({
    ...     "ts": [60.0, 61.0, 62.0, 63.0], "id.orig_h": ["10.0.0.1"] * 4,
    ...     "id.orig_p": [1, 2, 3, 4], "id.resp_h": ["10.0.0.2"] * 4,
    ...     "id.resp_p": [80, 80, 443, 22], "proto": ["tcp"] * 4})
    >>> port = Column.named("resp_p.all.renyi.1")
    >>> entropy_series(from_pandas(table), [port]).values.iloc[0].to_dict()
    {'resp_p.all.renyi.1': 1.5}
    """
    assembler = Assembler()
    measure = Measure(tuple(columns or default_columns()), rarefy_to)
    chunks = assembler.push("", batch) + assembler.finish()
    return EntropySeries.concat([measure(chunk) for chunk in chunks])


__all__ = ["Assembler", "Column", "Measure", "default_columns", "entropy_series"]
