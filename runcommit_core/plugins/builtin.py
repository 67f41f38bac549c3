"""The backends that runcommit brings itself: all that the core knows of engines by name."""

from __future__ import annotations

GROUP = "runcommit.backends"
"""The group of entry points that backends are found by."""

BUILT_IN = ("docker", "podman", "buildah", "podman-api", "native")
"""Their names, in the order in which ``auto`` tries them."""

FALLBACK = "native"
"""The one that needs no engine: ``auto`` takes it where no engine can be used, whoever brings it.

Who has installed an engine has configured it, and expects what it does.
"""

ENGINES = "docker, podman or buildah"
"""What a user is told to choose or to install."""
