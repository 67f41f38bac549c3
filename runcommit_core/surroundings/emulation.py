"""Whether this machine's kernel runs the programs of a platform: natively, emulated, or not."""

from __future__ import annotations

import contextlib
import errno
import struct
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import EngineError, UsageError
from runcommit_core.oci.platforms import Platform, host_platform, parse_platform

if TYPE_CHECKING:
    from pathlib import Path

_NATIVE = {"amd64": {"386"}, "arm64": {"arm"}}
"""What a processor of one architecture runs of others without help."""

_ELF = {
    # bits, big-endian, e_machine (System V ABI)
    "386": (32, False, 3),
    "amd64": (64, False, 62),
    "arm": (32, False, 40),
    "arm64": (64, False, 183),
    "loong64": (64, False, 258),
    "mips64le": (64, False, 8),
    "ppc64le": (64, False, 21),
    "riscv64": (64, False, 243),
    "s390x": (64, True, 22),
}


def foreign(platform: Platform) -> str:
    """The platform's name where it is not this machine's, whatever the variant, else nothing.

    Raises UsageError for an image of another operating system.
    """
    if platform.os != "linux":
        raise UsageError(f"the base is for {platform.os}; only Linux containers can be run")
    host = host_platform()
    return "" if platform.architecture == host.architecture else str(platform)


def check_emulation(platform: str, folder: Path, *, host: str = "") -> None:
    """Refuse a platform that the engine's machine cannot run; UsageError names the cure.

    ``host`` is the engine's architecture where that is not this machine, whose emulators then
    cannot be seen.  ``folder`` is a place for a trial: the kernel is asked, for its list of
    emulators (binfmt_misc) is not to be seen in containers.
    """
    if not platform:
        return
    wanted, here = parse_platform(platform), host_platform()
    machine = parse_platform(host) if host else here
    runs = {machine.architecture, *_NATIVE.get(machine.architecture, ())}
    if wanted.architecture in runs or machine.architecture != here.architecture:
        return
    if wanted.architecture in _ELF and _kernel_refuses(wanted.architecture, folder):
        raise UsageError(
            f"the base is for {platform}, this machine is {here}, and no emulator is registered",
            tip=f"install one (Debian: apt install qemu-user-static binfmt-support), or choose a"
            f" base for {here} (--platform picks one from an index)",
        )


def _kernel_refuses(architecture: str, folder: Path) -> bool:
    path = folder / f"trial-{architecture}"
    path.write_bytes(_empty_program(*_ELF[architecture]))
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


def _empty_program(bits: int, big: bool, machine: int) -> bytes:
    """The header of an ELF program that has nothing else."""
    order = ">" if big else "<"
    ident = bytes((0x7F, *b"ELF", bits // 32, 2 if big else 1, 1)).ljust(16, b"\0")
    word = "I" if bits == 32 else "Q"  # noqa: PLR2004
    size, entry = (52, 32) if bits == 32 else (64, 56)  # noqa: PLR2004
    rest = struct.pack(
        f"{order}HHI{word * 3}I6H", 2, machine, 1, 0, 0, 0, 0, size, entry, 0, 0, 0, 0
    )
    return ident + rest
