"""Take a table that zat made and look at its entropies, as in a notebook.

Usage: python examples/from_zat.py conn.log
"""

import sys

import pandas as pd
from zat.log_to_dataframe import LogToDataFrame

from entropy_ids.collector import from_pandas
from entropy_ids.features import entropy_series


def main(path: str) -> pd.DataFrame:
    """Give two entropies of the three busiest minutes."""
    table = LogToDataFrame().create_dataframe(path)
    series = entropy_series(from_pandas(table))
    busiest = series.flows.nlargest(3).index
    return series.values.loc[busiest, ["orig_h.all.renyi.1", "resp_p.all.renyi.1"]]


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1])}\n")
