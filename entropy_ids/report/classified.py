"""What a classifier says of an incident's connections, and what it looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from entropy_ids.alarms.sinks import sanitize
from entropy_ids.alarms.summary import percent
from entropy_ids.collector.schema import from_pandas
from entropy_ids.detectors.attention_multi_flow import AttentionMultiFlow, Judged
from entropy_ids.errors import ConfigError
from entropy_ids.models import flow_model_of
from entropy_ids.profile.store import Profile
from entropy_ids.report import words
from entropy_ids.report.found import Evidence, Rows

_SHOWN = ("ts", "id.orig_h", "id.resp_h", "id.resp_p", "proto", "conn_state")
_WIDTH = 40
_LEAST_SHARE = 0.01


def classifier(directory: Path) -> AttentionMultiFlow:
    """Read a classifier that ``entropy-ids train`` made.

    Raises
    ------
    ConfigError
        When the profile is of another detector.
    """
    profile = Profile.read(directory)
    kind = str(profile.manifest.get("detector"))
    if kind != AttentionMultiFlow.name:
        raise ConfigError(
            f"--classifier {directory}: expected a profile of "
            f"{AttentionMultiFlow.name}, found one of {kind}; train one with labels"
        )
    model = flow_model_of(profile.manifest["settings"], kind)
    assert isinstance(model, AttentionMultiFlow)
    model.restore(profile.manifest["model"], profile.weights)
    return model


def classified(evidence: Evidence, model: AttentionMultiFlow) -> Group:
    """Tell the classes of an incident's connections, and the attention of the surest.

    Only the rows kept as evidence are known: what came before the first of them is not
    seen, so that its class may be another than in ``evaluate``.
    """
    conn = evidence.logs.get("conn", Rows()).rows
    if not conn:
        return Group(Text("no conn rows were kept as evidence: nothing to classify"))
    flows = from_pandas(pd.DataFrame(conn)).frame
    judged = model.judge(flows, {})
    surest = int(judged.probabilities[:, 1:].sum(axis=1).argmax())
    return Group(
        _classes(judged, model.classes), *_attention(judged, conn, surest, model)
    )


def _classes(judged: Judged, classes: list[str]) -> Table:
    """Count the connections of each class."""
    table = Table(
        title=f"what {AttentionMultiFlow.name} calls them", title_justify="left"
    )
    for head in ("class", "connections", "mean probability"):
        table.add_column(head)
    given = judged.probabilities.argmax(axis=1)
    means = judged.probabilities.mean(axis=0)
    for k in np.argsort(-means, kind="stable").tolist():
        flows = int((given == k).sum())
        if flows or means[k] >= _LEAST_SHARE:
            table.add_row(sanitize(classes[k]), str(flows), percent(means[k]))
    return table


def _attention(
    judged: Judged, conn: list[dict[str, object]], at: int, model: AttentionMultiFlow
) -> Iterator[RenderableType]:
    """Show what was looked at to judge one connection."""
    chances = judged.probabilities[at]
    told = f"{sanitize(model.classes[chances.argmax()])} {percent(chances.max())}"
    table = Table(
        title=f"attention behind the surest: connection {at + 1}, {told}",
        title_justify="left",
    )
    for head in ("weight", *_SHOWN):
        table.add_column(head)
    for weight, row in zip(judged.attention[at], judged.before[at], strict=True):
        if row >= 0:
            values = conn[row]
            cells = [words.cell(name, values.get(name), _WIDTH) for name in _SHOWN]
            table.add_row(percent(float(weight)), *map(sanitize, cells))
    yield table
