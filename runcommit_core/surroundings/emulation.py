"""Whether this machine's kernel runs the programs of a platform: natively, emulated, or not."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.engine.elf import MACHINES, empty_program
from runcommit_core.errors import EngineError, UsageError
from runcommit_core.oci.platforms import Platform, host_platform, parse_platform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NATIVE = {"amd64": {"386"}, "arm64": {"arm"}}
"""What a processor of one architecture runs of others without help."""


def foreign(platform: Platform) -> str:
    """The platform's name where it is not this machine's, whatever the variant, else nothing.

    Raises UsageError for an image of another operating system.
    """
    if platform.os != "linux":
        raise UsageError(f"the base is for {platform.os}; only Linux containers can be run")
    host = host_platform()
    return "" if platform.architecture == host.architecture else str(platform)


def check_emulation(platform: str, folder: Path, *, host: str | Callable[[], str] = "") -> None:
    """Refuse a platform that the engine's machine cannot run; UsageError names the cure.

    ``host`` is the engine's architecture, or tells it, where that may be another machine, whose
    emulators then cannot be seen.  ``folder`` is a place for a trial: the kernel is asked, for its
    list of emulators (binfmt_misc) is not to be seen in containers.
    """
    if not platform:
        return
    wanted, here = parse_platform(platform), host_platform()
    name = host if isinstance(host, str) else host()
    machine = parse_platform(name) if name else here
    runs = {machine.architecture, *_NATIVE.get(machine.architecture, ())}
    if wanted.architecture in runs or machine.architecture != here.architecture:
        return
    if wanted.architecture in MACHINES and _kernel_refuses(wanted.architecture, folder):
        raise UsageError(
            f"the base is for {platform}, this machine is {here}, and no emulator is registered",
            tip=f"install one (Debian: apt install qemu-user-static binfmt-support), or choose a"
            f" base for {here} (--platform picks one from an index)",
        )


def _kernel_refuses(architecture: str, folder: Path) -> bool:
    path = folder / f"trial-{architecture}"
    path.write_bytes(empty_program(architecture))
    path.chmod(0o700)
    try:
        process.attempt(str(path), env={})
    except EngineError as error:
        cause = error.__cause__
        return isinstance(cause, OSError) and cause.errno == errno.ENOEXEC
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return False
