"""A client for one repository of an OCI registry: manifests by tag, blobs by digest.

Source: the OCI distribution specification 1.1; the token flow is that of
https://distribution.github.io/distribution/spec/auth/token/.  Whatever goes wrong is an OSError.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, TYPE_CHECKING, Final, cast

from runcommit_core.cache.credentials import find_credentials
from runcommit_core.oci.mediatypes import OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT: Final = 15.0
"""Seconds that a registry may be silent."""

_LOCAL = re.compile(r"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LARGEST_DOCUMENT = 4 << 20
_NOT_FOUND, _UNAUTHORIZED = 404, 401


class Repository:
    """One repository of the registry ``host``, spoken to by http on this machine, else https."""

    def __init__(self, host: str, path: str) -> None:
        self._host = host
        self._path = path
        scheme = "http" if _LOCAL.fullmatch(host) else "https"
        self._url = f"{scheme}://{host}/v2/{path}"
        self._authorization = ""
        self._open = urllib.request.build_opener().open

    def manifest(self, tag: str) -> bytes | None:
        """The manifest of a tag; None if there is no such tag."""
        try:
            with self._call("GET", f"manifests/{tag}", {"Accept": OCI_MANIFEST}) as answer:
                return answer.read(_LARGEST_DOCUMENT)
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository has a blob."""
        try:
            with self._call("HEAD", f"blobs/{digest}"):
                return True
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return False
            raise

    def blob(self, digest: str) -> http.client.HTTPResponse:
        """A blob as a stream, to be closed; its hash is not checked."""
        return self._call("GET", f"blobs/{digest}")

    def push_blob(self, digest: str, data: IO[bytes] | bytes, size: int) -> None:
        """Upload a blob in one piece."""
        with self._call("POST", "blobs/uploads/", {"Content-Length": "0"}, b"") as answer:
            location = answer.headers.get("Location", "")
        place = urllib.parse.urljoin(f"{self._url}/blobs/uploads/", location)
        place += f"{'&' if '?' in place else '?'}digest={urllib.parse.quote(digest)}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._call("PUT", place, headers, data):
            pass

    def push_manifest(self, tag: str, manifest: bytes, media_type: str) -> None:
        """Put a manifest under a tag."""
        with self._call("PUT", f"manifests/{tag}", {"Content-Type": media_type}, manifest):
            pass

    def _call(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str] | None = None,
        data: IO[bytes] | bytes | None = None,
    ) -> http.client.HTTPResponse:
        """One request, once more with credentials where the registry wants them."""
        try:
            return self._request(method, place, headers or {}, data)
        except urllib.error.HTTPError as error:
            wanted = error.headers.get("WWW-Authenticate", "")
            if error.code != _UNAUTHORIZED or not wanted:
                raise
            self._authorization = self._authorize(wanted)
        if data is not None and not isinstance(data, bytes):
            data.seek(0)
        return self._request(method, place, headers or {}, data)

    def _request(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str],
        data: IO[bytes] | bytes | None,
    ) -> http.client.HTTPResponse:
        url = place if "://" in place else f"{self._url}/{place}"
        request = urllib.request.Request(url, data, dict(headers), method=method)  # noqa: S310
        if self._authorization and urllib.parse.urlsplit(url).netloc == self._host:
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            answer = self._open(request, timeout=TIMEOUT)
            return cast("http.client.HTTPResponse", answer)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise OSError(f"cannot reach {self._host}: {reason}") from error
        except http.client.HTTPException as error:
            raise OSError(f"{self._host} does not speak HTTP: {error!r}") from error

    def _authorize(self, challenge: str) -> str:
        """What to answer to ``WWW-Authenticate``: a token, or the user's name and password."""
        found = find_credentials(self._host, self._path)
        basic = ""
        if found:
            basic = "Basic " + base64.b64encode(":".join(found).encode()).decode()
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "bearer":
            if not basic:
                raise PermissionError(f"{self._host} wants credentials, and there are none")
            return basic
        return f"Bearer {self._token(dict(_CHALLENGE.findall(rest)), basic)}"

    def _token(self, wanted: Mapping[str, str], basic: str) -> str:
        realm = wanted.get("realm", "")
        if not realm.startswith(("https://", "http://")):
            raise PermissionError(f"{self._host} does not say where it gives tokens")
        asked = {
            "service": wanted.get("service", ""),
            "scope": f"repository:{self._path}:pull,push",
        }
        request = urllib.request.Request(f"{realm}?{urllib.parse.urlencode(asked)}")  # noqa: S310
        if basic:
            request.add_unredirected_header("Authorization", basic)
        with self._open(request, timeout=TIMEOUT) as answer:
            try:
                said = json.loads(answer.read(_LARGEST_DOCUMENT))
                return str(said.get("token") or said["access_token"])
            except (ValueError, KeyError, AttributeError) as error:
                raise PermissionError(f"{realm} gave no token") from error
