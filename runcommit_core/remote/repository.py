"""A client for one repository of an OCI registry: manifests by tag, blobs by digest.

Source: the OCI distribution specification 1.1; the token flow is that of
https://distribution.github.io/distribution/spec/auth/token/.  Whatever goes wrong is an OSError.

Nothing is sent but by https, or by http to this machine; credentials go to the registry itself and
to where it says that tokens are given, a token to the registry alone.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, TYPE_CHECKING, Final, cast

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.jsondoc import parse_object
from runcommit_core.oci.mediatypes import OCI_MANIFEST
from runcommit_core.remote.certificates import trusted
from runcommit_core.remote.credentials import find_credentials
from runcommit_core.remote.paced import TIMEOUT, PacedBody, PlainHandler, SecureHandler

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping, Sequence
    from email.message import Message

_SERVED_BY: Final = {"docker.io": "index.docker.io"}
"""Where the registry of a name is that is no server's."""

_LOCAL = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?", re.ASCII)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TOKEN = re.compile(r"[!-~]+")
_LARGEST_DOCUMENT = 4 << 20
_CREATED, _PARTIAL, _UNAUTHORIZED, _NOT_FOUND, _NO_RANGE = 201, 206, 401, 404, 416
_PULL, _PUSH = ("pull",), ("pull", "push")
_RIGHTS: Final = {"GET": _PULL, "HEAD": _PULL, "POST": _PUSH, "PUT": _PUSH}
"""What a request may need, and so the most that a token is asked for."""


class Repository:
    """One repository of the registry ``host``, spoken to by http on this machine, else https."""

    def __init__(self, host: str, path: str) -> None:
        self.host = host
        self._host = _SERVED_BY.get(host, host)
        self._path = path
        scheme = "http" if _LOCAL.fullmatch(host) else "https"
        self._url = f"{scheme}://{self._host}/v2/{path}"
        self._is_local = scheme == "http"
        self._authorization = ""
        self._open = _opener(None if self._is_local else trusted(self._host)).open

    def __str__(self) -> str:
        return f"{self.host}/{self._path}"

    def document(self, reference: str, types: Sequence[str]) -> tuple[bytes, str] | None:
        """What a tag or digest names, and its media type, one of ``types``; None if none."""
        try:
            answer = self._call("GET", f"manifests/{reference}", {"Accept": ", ".join(types)})
            with answer, within(self._host):
                return _document(answer), answer.headers.get_content_type()
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def manifest(self, tag: str) -> bytes | None:
        """The manifest of a tag; None if there is no such tag."""
        answer = self.document(tag, (OCI_MANIFEST,))
        return answer[0] if answer else None

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
        """A blob as a stream, to be closed and read :func:`within`; its hash is not checked."""
        return self._call("GET", f"blobs/{digest}")

    def blob_from(self, digest: str, start: int) -> tuple[http.client.HTTPResponse, int]:
        """As :meth:`blob`, without the first ``start`` bytes where the registry can do that.

        The number is that of the bytes that are left out.
        """
        if start:
            try:
                answer = self._call("GET", f"blobs/{digest}", {"Range": f"bytes={start}-"})
            except urllib.error.HTTPError as error:
                if error.code != _NO_RANGE:
                    raise
                error.close()
            else:
                given = answer.headers.get("Content-Range", "")
                if answer.status != _PARTIAL:
                    return answer, 0
                if given.startswith(f"bytes {start}-"):
                    return answer, start
                answer.close()
        return self.blob(digest), 0

    def push_blob(self, digest: str, data: IO[bytes] | bytes, size: int) -> None:
        """Upload a blob in one piece."""
        with self._call("POST", "blobs/uploads/", {"Content-Length": "0"}, b"") as answer:
            location = answer.headers.get("Location", "")
        with within(self._host):
            place = urllib.parse.urljoin(f"{self._url}/blobs/uploads/", location)
        place += f"{'&' if '?' in place else '?'}digest={urllib.parse.quote(digest)}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        whole = io.BytesIO(data) if isinstance(data, bytes) else data
        with self._call("PUT", place, headers, whole):
            pass

    def mount(self, digest: str, path: str) -> bool:
        """Take a blob over from another repository of the registry; whether it did."""
        asked = urllib.parse.urlencode({"mount": digest, "from": path})
        with self._call("POST", f"blobs/uploads/?{asked}", {"Content-Length": "0"}, b"") as answer:
            return answer.status == _CREATED

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
            # a storage that the registry leads to has no say in where our credentials go
            ours = _origin(error.geturl()) == _origin(self._url)
            if error.code != _UNAUTHORIZED or not wanted or not ours:
                raise
            error.close()
            self._authorization = self._authorize(wanted, _RIGHTS[method])
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
        body = data if data is None or isinstance(data, bytes) else PacedBody(data)
        with within(self._host):
            _check_url(url, local=self._is_local)
            request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310
            if self._authorization and _origin(url) == _origin(self._url):
                request.add_unredirected_header("Authorization", self._authorization)
            answer = self._open(request, timeout=TIMEOUT)
            return cast("http.client.HTTPResponse", answer)

    def _authorize(self, challenge: str, rights: tuple[str, ...]) -> str:
        """What to answer to ``WWW-Authenticate``: a token, or the user's name and password."""
        credentials = find_credentials(self._host, self._path)
        basic = ""
        if credentials:
            basic = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "bearer":
            if not basic:
                raise PermissionError(f"{self._host} wants credentials, and there are none")
            return basic
        return f"Bearer {self._token(dict(_CHALLENGE.findall(rest)), basic, rights)}"

    def _token(self, wanted: Mapping[str, str], basic: str, rights: tuple[str, ...]) -> str:
        realm = wanted.get("realm", "")
        with within(self._host):
            _check_url(realm, local=self._is_local)
            parts = urllib.parse.urlsplit(realm)
        actions = _actions(wanted.get("scope", ""), self._path, rights)
        asked = urllib.parse.urlencode(
            {
                "service": wanted.get("service", ""),
                "scope": f"repository:{self._path}:{','.join(actions)}",
            }
        )
        query = f"{parts.query}&{asked}" if parts.query else asked
        request = urllib.request.Request(parts._replace(query=query, fragment="").geturl())  # noqa: S310
        if basic:
            request.add_unredirected_header("Authorization", basic)
        with within(self._host), self._open(request, timeout=TIMEOUT) as answer:
            return _token_in(_document(answer), parts.netloc)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to where a request may go, which takes no credentials along."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_url(newurl, local=bool(_LOCAL.fullmatch(req.host)) and req.type == "http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class _Proxies(urllib.request.ProxyHandler):
    """The environment's proxies, which have no part in what goes to this machine."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> object:  # noqa: A002
        if _LOCAL.fullmatch(req.host):
            return None
        return super().proxy_open(req, proxy, type)


def _opener(context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    """What opens http and https alone: no file, no ftp, whatever an answer leads to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Proxies(),
        PlainHandler(),
        SecureHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def within(host: str) -> Iterator[None]:
    """Make an OSError of whatever an answer of ``host`` is wrong in; HTTPError stays what it is."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise OSError(f"cannot reach {host}: {reason}") from error
    except http.client.HTTPException as error:
        raise OSError(f"{host} does not speak HTTP: {error!r:.200}") from error
    except (ArchiveError, ValueError) as error:
        raise OSError(f"{host} makes no sense: {error!s:.200}") from error


def _check_url(url: str, *, local: bool) -> None:
    """Raise PermissionError for where nothing may be sent.

    By http nothing may go but to this machine, and only if a registry on this machine (``local``)
    says so; in a URL there may be no credentials.
    """
    parts = urllib.parse.urlsplit(url)
    here = local and parts.scheme == "http" and _LOCAL.fullmatch(parts.netloc)
    if parts.username is not None or not (here or (parts.scheme == "https" and parts.hostname)):
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        raise PermissionError(f"the registry leads to {shown:.200}, where nothing is sent")


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _actions(scope: str, path: str, rights: tuple[str, ...]) -> list[str]:
    """Those of ``rights`` that the challenge asks for; all where it says nothing of us."""
    prefix = f"repository:{path}:"
    wanted = [each.removeprefix(prefix) for each in scope.split() if each.startswith(prefix)]
    asked = {action for each in wanted for action in each.split(",")}
    return [right for right in rights if right in asked] or list(rights)


def _document(answer: http.client.HTTPResponse) -> bytes:
    document = b""
    while chunk := answer.read(_LARGEST_DOCUMENT + 1 - len(document)):
        document += chunk
    if len(document) > _LARGEST_DOCUMENT:
        raise ValueError(f"a document has more than {_LARGEST_DOCUMENT} bytes")
    return document


def _token_in(document: bytes, place: str) -> str:
    said = parse_object(document, f"what {place} gave")
    token = said.get("token") or said.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise PermissionError(f"{place} gave no token")
    return token
