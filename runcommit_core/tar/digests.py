"""The two kinds of digests that a layer has."""

from __future__ import annotations

from typing import NewType

Digest = NewType("Digest", str)
"""``sha256:<hex>`` of bytes as stored, maybe compressed."""

DiffId = NewType("DiffId", str)
"""``sha256:<hex>`` of the uncompressed layer tar."""
