"""A request of HTTP/1.1, read strictly: what could be read in two ways is refused.

Source: RFC 9112; section 6.3 tells how long a body is, 11.2 what comes of two opinions about it.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Final

from runcommit_core.oci.regions import CHUNK
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runcommit_core.registry.incoming import Incoming

HEAD_BYTES: Final = 32 << 10
"""The request line and all fields; what engines send has some hundred bytes."""

_CHUNK_LINE = 1 << 10
_TRAILER = 8 << 10
_PARAMETERS = 16
_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_ONCE = frozenset(
    (
        "authorization",
        "content-length",
        "content-range",
        "expect",
        "host",
        "range",
        "transfer-encoding",
    )
)


class BadRequestError(Exception):
    """A request that is none, or too large; ``status`` is what to answer before closing."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Body:
    """The bytes that follow a head, read only when they are asked for.

    ``size`` is None where only the end tells it; ``started`` tells whether any were asked for,
    ``ended`` whether nothing is left of them on the connection.
    """

    def __init__(
        self, stream: Incoming, size: int | None, invite: Callable[[], None] | None
    ) -> None:
        self._stream = stream
        self._invite = invite
        self.size = size
        self.started = False
        self.ended = size == 0

    def chunks(self) -> Iterator[bytes]:
        """The bytes; ConnectionError where the other side ends or breaks them off."""
        if self.ended:
            return
        if not self.started:
            self.started = True
            if self._invite:
                self._invite()
        stream, size = self._stream, self.size
        yield from _dechunked(stream) if size is None else _exactly(stream, size)
        self.ended = True

    def skip(self, most: int) -> bool:
        """Pass over the rest if that is at most ``most`` bytes, unasked; whether nothing is left.

        What somebody reads already, or was not invited to send, is not passed over.
        """
        if not self.ended and not self.started and not self._invite and (self.size or 0) <= most:
            left = most
            for chunk in self.chunks():
                left -= len(chunk)
                if left < 0:
                    break
        return self.ended


@record
class Request:
    """One request.

    ``target`` is the path; ``query`` has the first value of each parameter, ``fields`` are by
    their lower-case names.
    """

    method: str
    target: str
    query: Mapping[str, str]
    fields: Mapping[str, str]
    body: Body
    persistent: bool


def read_request(stream: Incoming, invite: Callable[[], None]) -> Request | None:
    """The next request, up to its body; None where the other side has ended.

    ``invite`` is called before a body is read that the client keeps back until it is told to go on.

    Raises BadRequestError: there is none that can be read in one way only
    """
    lines = _head_lines(stream)
    if not lines:
        return None
    line = _LINE.fullmatch(lines[0])
    if not line:
        raise BadRequestError(400, "the first line is no request of HTTP/1.1")
    method, target, minor = line[1].decode(), line[2].decode(), line[3]
    fields = _fields(lines[1:])
    modern = minor == b"1"
    if (modern or "host" in fields) and not _HOST.fullmatch(fields.get("host", "")):
        raise BadRequestError(400, "there is no host")
    path, _, query = target.partition("?")
    closing = "close" in re.split(r"[ \t]*,[ \t]*", fields.get("connection", "").lower())
    expecting = _expects(fields)
    body = Body(stream, _body_size(fields), invite if expecting else None)
    return Request(method, path, _parameters(query), fields, body, modern and not closing)


def _head_lines(stream: Incoming) -> list[bytes]:
    """The lines of a head without their ends; none at the end of the stream."""
    lines: list[bytes] = []
    left = HEAD_BYTES
    while line := stream.readline(left + 1):
        left -= len(line)
        if left < 0:
            raise BadRequestError(431, f"the head has more than {HEAD_BYTES} bytes")
        if not line.endswith(b"\r\n"):
            if line.endswith(b"\n"):
                raise BadRequestError(400, "a line ends without carriage return")
            break
        if line != b"\r\n":
            lines.append(line[:-2])
        elif lines:
            return lines
    if lines:
        raise ConnectionError("the connection ended in a head")
    return []


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or _FORBIDDEN.search(value):
            raise BadRequestError(400, "a field is none")
        key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
        if key in fields and key in _ONCE:
            raise BadRequestError(400, f"{key} is given twice")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields


def _body_size(fields: Mapping[str, str]) -> int | None:
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if length is not None:
            raise BadRequestError(400, "the length is told in two ways")
        if coding.lower() != "chunked":
            raise BadRequestError(501, "only chunked is known as a transfer coding")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise BadRequestError(400, "the length is none")
    return int(length)


def _expects(fields: Mapping[str, str]) -> bool:
    expected = fields.get("expect")
    if expected is not None and expected.lower() != "100-continue":
        raise BadRequestError(417, "nothing but 100-continue can be expected")
    return expected is not None


def _parameters(query: str) -> dict[str, str]:
    try:
        parameters = urllib.parse.parse_qs(query, max_num_fields=_PARAMETERS)
    except ValueError as error:
        raise BadRequestError(400, "the query has too many parameters") from error
    return {name: values[0] for name, values in parameters.items()}


def _exactly(stream: Incoming, size: int) -> Iterator[bytes]:
    left = size
    while left:
        data = stream.read(min(left, CHUNK))
        if not data:
            raise ConnectionError("the connection ended in a body")
        left -= len(data)
        yield data


def _dechunked(stream: Incoming) -> Iterator[bytes]:
    """The data of a body in chunked transfer coding (RFC 9112, section 7.1)."""
    while size := _chunk_size(stream):
        yield from _exactly(stream, size)
        if stream.read(2) != b"\r\n":
            raise ConnectionError("a chunk has another size than it says")
    left = _TRAILER
    while (line := stream.readline(left + 1)) != b"\r\n":
        left -= len(line)
        if left < 0 or not line.endswith(b"\r\n"):
            raise ConnectionError("the trailer has no end")


def _chunk_size(stream: Incoming) -> int:
    number = _CHUNK_SIZE.fullmatch(stream.readline(_CHUNK_LINE))
    if not number:
        raise ConnectionError("a chunk has no size")
    return int(number[1], 16)
