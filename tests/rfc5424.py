"""A small reader of syslog, written from RFC 5424 and RFC 6587 alone."""

import re
from dataclasses import dataclass

_HEAD = re.compile(
    rb"<(?P<pri>0|[1-9][0-9]{0,2})>1 "
    rb"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) "
    rb"(?P<msgid>[!-~]{1,32}) "
)
_NAME = rb'[^\x00-\x20\x7f-\xff="\]]{1,32}'
_PARAM = re.compile(
    rb" (?P<name>" + _NAME + rb')="(?P<value>(?:[^"\\\]]|\\["\\\]]|\\(?!["\\\]]))*)"'
)
_ELEMENT = re.compile(rb"\[(?P<id>" + _NAME + rb")")


@dataclass
class Message:
    pri: int
    time: str
    host: str
    app: str
    msgid: str
    params: dict[str, str]
    text: str


def read(data: bytes) -> Message:
    """Read one message with one element of structured data; nothing may be left."""
    head = _HEAD.match(data)
    assert head is not None, data[:200]
    assert int(head["pri"]) <= 191
    element = _ELEMENT.match(data, head.end())
    assert element is not None, data[head.end() : head.end() + 100]
    place, params = element.end(), {}
    while found := _PARAM.match(data, place):
        name, value = found["name"].decode(), found["value"].decode("utf-8")
        assert name not in params
        params[name] = re.sub(r'\\(["\\\]])', r"\1", value)
        place = found.end()
    assert data[place : place + 2] == b"] ", data[place : place + 100]
    return Message(
        int(head["pri"]),
        *(head[name].decode() for name in ("time", "host", "app", "msgid")),
        params,
        data[place + 2 :].decode("ascii"),
    )


def counted(data: bytes) -> tuple[list[bytes], bytes]:
    """Part a stream into octet-counted messages, and what is not whole yet."""
    whole = []
    while found := re.match(rb"([1-9][0-9]*) ", data):
        end = found.end() + int(found[1])
        if len(data) < end:
            break
        whole.append(data[found.end() : end])
        data = data[end:]
    return whole, data
