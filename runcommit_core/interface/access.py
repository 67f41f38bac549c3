"""What an engine must know to reach the loopback registry."""

from __future__ import annotations

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
