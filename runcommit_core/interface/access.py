"""What an engine must know to reach the loopback registry."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from runcommit_core.records import record

if TYPE_CHECKING:
    from pathlib import Path


@record
class Access:
    """What an engine needs to reach the endpoint.

    ``authfile`` holds the credentials in the form of docker's ``config.json``, which podman and
    buildah read too.
    """

    address: str
    repository: str
    authfile: Path

    def reference(self, tag: str) -> str:
        """The image reference ``address/repository:tag``."""
        return f"{self.address}/{self.repository}:{tag}"

    @property
    def login(self) -> tuple[str, str]:
        """The name and the password that ``authfile`` holds; empty where it holds none."""
        for entry in json.loads(self.authfile.read_bytes()).get("auths", {}).values():
            name, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            return name, password
        return "", ""
