"""What podman-py raises, as our own errors; and the two answers whose errors it passes over."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runcommit_core import Access, EngineError, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_podman_api.wire import Wire


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
    how = f" (status {status})" if status else ""
    return EngineError(
        f"podman's service failed to {task}{how}",
        returncode=status,
        output=said,
        tip=cure,
    )


def info(wire: Wire) -> dict[str, Any]:
    """What ``podman info`` says; it takes the service a fifth of a second."""
    with told("describe itself"):
        answer = wire.get("/info")
        answer.raise_for_status()
        return dict(answer.json())


def image_path(name: str, verb: str) -> str:
    """The path of an image's verb; podman-py leaves some names as they are, slashes and all."""
    return f"/images/{quote(name, safe='')}/{verb}"


def split(reference: str) -> dict[str, str]:
    """A name and its tag, as the service wants them; a port is no tag."""
    repository, separator, tag = reference.rpartition(":")
    if not separator or "/" in tag:
        return {"repo": reference, "tag": "latest"}
    return {"repo": repository, "tag": tag}


def transfer(wire: Wire, access: Access, verb: str, reference: str) -> None:
    """Push an image to the job's registry, or pull it from there.

    podman-py answers a failed pull with an image that has no id, and its push reports success
    whatever came; errors stand in the body, under status 200.
    """
    params: dict[str, Any] = {"tlsVerify": "false", "quiet": "true"}
    path = image_path(reference, "push")
    if verb == "pull":
        path = "/images/pull"
        params |= {"reference": reference, "policy": "always"}
    with told(f"{verb} {reference}"):
        answer = wire.post(path, params=params, headers=_credentials(access))
        answer.raise_for_status()
        _raise_told(verb, answer.text)


def pull(wire: Wire, reference: str) -> None:
    """Pull with the credentials that the service's own user has."""
    with told(f"pull {reference}"):
        answer = wire.post("/images/pull", params={"reference": reference, "quiet": "true"})
        answer.raise_for_status()
        _raise_told("pull", answer.text)


def _raise_told(verb: str, answer: str) -> None:
    for line in answer.splitlines():
        with contextlib.suppress(ValueError):
            if error := dict(json.loads(line)).get("error"):
                raise failed(verb, str(error))


def _credentials(access: Access) -> dict[str, str]:
    """The service takes one pair of credentials in a header, in words of its own."""
    headers = {}
    for entry in json.loads(access.authfile.read_bytes()).get("auths", {}).values():
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        words = json.dumps({"username": username, "password": password}).encode()
        headers["X-Registry-Auth"] = base64.urlsafe_b64encode(words).decode()
    return headers
