"""Requests to a service, each told beforehand as the call of curl that would do the same.

podman-py's HTTP client sends them. In a rehearsal nothing is sent: the calls of curl are written
down, and answered by the backend's step ``rehearse``.
"""

from __future__ import annotations

import io
import json
import logging
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from runcommit_core import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from podman import PodmanClient

log = logging.getLogger("runcommit")

NOT_FOUND = 404
_SOCKETS = ("http+unix", "unix")


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to a service at ``url``; ``client`` is podman-py's, None in a rehearsal.

    ``shown`` is what is told instead of the ``data`` that a request sends.
    """

    url: str
    client: PodmanClient | None

    def get(self, path: str, **options: Any) -> Any:
        """The answer, as podman-py has it."""
        return self._ask("get", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """The answer, as podman-py has it."""
        return self._ask("post", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """The answer, as podman-py has it."""
        return self._ask("delete", path, **options)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: str | Iterator[bytes] | None = None,
        shown: str | None = None,
        **options: Any,
    ) -> Any:
        words = _curl(self.url, method, path, params or {}, shown or data)
        if self.client is None:
            sent = None if data is None or isinstance(data, str) else data
            return Imagined(process.attempt(*words, stdin=sent))
        log.debug("%s", shlex.join(words))
        ask = getattr(self.client.api, method)
        if data is not None:
            options["data"] = data
        return ask(path, params=params, **options)


@dataclass(frozen=True, slots=True)
class Imagined:
    """An answer to what was not asked; it is an error only where something is not there."""

    completed: process.Completed
    raw: io.BytesIO = field(default_factory=io.BytesIO)

    @property
    def status_code(self) -> int:
        return NOT_FOUND if self.completed.returncode else 200

    @property
    def text(self) -> str:
        return self.completed.output

    def json(self) -> Any:
        return json.loads(self.text)

    def raise_for_status(self) -> None:
        """Nobody failed."""

    def close(self) -> None:
        """Nothing is open."""


def _curl(
    url: str, method: str, path: str, params: Mapping[str, Any], data: object
) -> tuple[str, ...]:
    scheme, _, place = url.partition("://")
    where, host = (("--unix-socket", place), "podman") if scheme in _SOCKETS else ((), place)
    query = f"?{urlencode(params, doseq=True)}" if params else ""
    body: tuple[str, ...] = ()
    if isinstance(data, str):
        body = ("--json", data)
    elif data is not None:
        body = ("--upload-file", "-")
    verb = () if method == "get" else ("-X", method.upper())
    return ("curl", *where, *verb, *body, f"http://{host}/v4.0.0/libpod{path}{query}")
