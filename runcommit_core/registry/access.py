"""What an engine must know to reach the loopback registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
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
