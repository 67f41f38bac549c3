"""Requests to a service, each told beforehand as the call of curl that would do the same.

podman-py's HTTP client sends them. In a rehearsal nothing is sent: the calls of curl are written
down, and answered by the backend's step ``rehearse``.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runcommit_core import EngineError, process, services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from podman import PodmanClient

    from runcommit_core import EngineInfo

log = logging.getLogger("runcommit")

NOT_FOUND = 404
_API = "/v4.0.0/libpod"
_CURL_FAILED = 22
_NO_IMAGE = re.compile(r"/images/[^/]+/json$")


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to a service at ``url``; ``client`` is podman-py's, None in a rehearsal."""

    url: str
    client: PodmanClient | None

    def ask(
        self,
        task: str,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        gone: bool = False,
        data: str | Iterator[bytes] | None = None,
        shown: str | None = None,
        **options: Any,
    ) -> Any:
        """The answer, as podman-py has it; EngineError where the service fails to do the task.

        ``gone`` takes that something is not there for an answer; ``shown`` is what is told instead
        of the ``data`` that a request sends.
        """
        asked = (self.url, method, f"{_API}{path}", params or {}, shown or data)
        words = services.curl_words(*asked, host="podman")
        with told(task):
            if self.client is None:
                sent = None if data is None or isinstance(data, str) else data
                answer = _imagined(process.attempt(*words, stdin=sent))
            else:
                log.debug("%s", shlex.join(words))
                options |= {"params": params} | ({} if data is None else {"data": data})
                answer = getattr(self.client.api, method)(path, **options)
            if not gone or answer.status_code != NOT_FOUND:
                answer.raise_for_status()
        return answer


@contextlib.contextmanager
def told(task: str, *, tip: str = "") -> Iterator[None]:
    """Raise EngineError for whatever goes wrong in this block between us and the service."""
    from podman.errors import APIError, PodmanError
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        said = str(error.explanation or error.args[0])
        if error.__cause__ and error.response is None:
            said = f"{said}: {error.__cause__}"
        raise failed(task, said, error.status_code, tip=tip) from error
    except (PodmanError, RequestException, HTTPError, OSError, KeyError) as error:
        raise failed(task, str(error) or type(error).__name__, tip=tip) from error


def failed(task: str, said: str, status: int | None = None, *, tip: str = "") -> EngineError:
    """The EngineError for a task that the service did not do."""
    cure = process.failure(("podman",), 0, said).tip or tip
    message = f"podman's service failed to {task}{f' (status {status})' if status else ''}"
    return EngineError(message, returncode=status, output=said, tip=cure)


def _imagined(completed: process.Completed) -> Any:
    """An answer to what was not asked; it is an error only where something is not there."""
    from requests import Response

    answer = Response()
    answer.status_code = NOT_FOUND if completed.returncode else 200
    answer.raw = io.BytesIO(completed.output.encode())
    return answer


def imagine(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """The answer to a call of curl; the container is on the store's own driver, else on overlay."""
    url = argv[-1].partition("?")[0]
    if _NO_IMAGE.search(url):
        return process.Completed(tuple(argv), _CURL_FAILED, "", "no such image")
    driver = engine.storage or "overlay"
    native = {"Native Overlay Diff": str(driver == "overlay").lower()}
    container = {"GraphDriver": {"Name": driver, "Data": {"UpperDir": "/UPPER"}}, "HostConfig": {}}
    host, store = {"security": {"rootless": engine.rootless}}, {"graphStatus": native}
    info = {"host": host, "store": store}
    bodies = {"/json": container, "/info": info, "/wait": 0, "/commit": {"Id": ""}}
    said = next((json.dumps(body) for end, body in bodies.items() if url.endswith(end)), "")
    return process.Completed(tuple(argv), 0, said, "")
