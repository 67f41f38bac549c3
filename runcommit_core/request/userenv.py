"""The variables that a login sets and that the bare environment of a build action lacks."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def set_missing() -> None:
    """Set ``HOME`` and ``XDG_RUNTIME_DIR`` as a login would, where they are not set.

    Without them rootless engines look for their store and their socket in the wrong place.  The
    end of ``PATH`` gets the folders where engines look for what sets up networks.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders += [folder for folder in _SYSTEM if folder not in folders]
    os.environ["PATH"] = os.pathsep.join(folders)
    user = os.getuid()
    if not os.environ.get("HOME"):
        try:
            os.environ["HOME"] = pwd.getpwuid(user).pw_dir
        except KeyError:
            return
    runtime = Path(f"/run/user/{user}")
    if "XDG_RUNTIME_DIR" not in os.environ and runtime.is_dir() and runtime.stat().st_uid == user:
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
