"""HTML that is safe by construction: text becomes markup in one place only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from entropy_ids.alarms.sinks import sanitize

_VOID = {"meta", "br"}
_IN_JSON = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Html(str):
    """Markup; any other string is text, and hostile."""

    __slots__ = ()


def text(value: object) -> Html:
    r"""Give markup unchanged, and anything else as harmless text.

    Examples
    --------
    >>> text("<b>\u202e&'")
    '&lt;b&gt;\\u{202e}&amp;&#x27;'
    """
    return value if isinstance(value, Html) else Html(escape(sanitize(str(value))))


def join(*parts: object) -> Html:
    """Give markup and texts as one markup."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Give an element; ``_`` in an attribute's name stands for ``-``.

    An underscore at the name's end is dropped, and an attribute of None left out.

    Examples
    --------
    >>> tag("td", "<x>", class_="wide", data_curve=3, title=None)
    '<td class="wide" data-curve="3">&lt;x&gt;</td>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{join(*children)}</{name}>")


def table(headings: Iterable[str], rows: Iterable[Iterable[object]], kind: str) -> Html:
    """Give a table that scrolls by itself where the window is narrow."""
    head = tag("thead", tag("tr", *(tag("th", text) for text in headings)))
    body = tag("tbody", *(tag("tr", *(tag("td", c) for c in row)) for row in rows))
    return tag("div", tag("table", head, body, class_=kind), class_="wide")


def data_block(name: str, value: Any) -> Html:
    r"""Give values for scripts, as JSON that no script runs and no text can end.

    Examples
    --------
    >>> data_block("data", ["</script>"])
    '<script type="application/json" id="data">["\\u003c/script\\u003e"]</script>'
    """
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    inert = Html(written.translate(_IN_JSON))
    return tag("script", inert, type="application/json", id=name)
