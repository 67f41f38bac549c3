"""The backends that runcommit brings itself: all that the core knows of engines by name."""

from __future__ import annotations

GROUP = "runcommit.backends"
"""The group of entry points that backends are found by."""

BUILT_IN = ("docker", "podman", "buildah", "podman-api")
"""Their names, in the order in which ``auto`` tries them."""

ENGINES = "docker, podman or buildah"
"""What a user is told to choose or to install."""
