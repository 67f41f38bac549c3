"""Which certificates of a registry count, beside those of the system's authorities.

Source: containers-certs.d(5), and docker's "Verify repository client with certificates".
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def trusted(host: str) -> ssl.SSLContext:
    """What connections to ``host`` (with its port) believe, and what they show of us.

    Raises OSError for a file that is none of certificates.
    """
    context = ssl.create_default_context()
    for folder in _folders(host):
        for authority in sorted(folder.glob("*.crt")):
            context.load_verify_locations(authority)
        for own in sorted(folder.glob("*.cert")):
            context.load_cert_chain(own, own.with_suffix(".key"))
    return context


def _folders(host: str) -> Iterator[Path]:
    config = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '')}/.config"
    for top in (f"{config}/containers", "/etc/containers", "/etc/docker"):
        yield Path(top) / "certs.d" / host
