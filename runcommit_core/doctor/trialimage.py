"""The smallest image that can be tried: one static program that makes one file.

It is written from machine code, so that neither a compiler nor a download is needed.  Every image
is another one (its program's name is random), so that two trials never share anything.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.engine.elf import static_program
from runcommit_core.oci.jsondoc import canonical_json
from runcommit_core.oci.mediatypes import OCI_LAYER
from runcommit_core.oci.output import NewLayer, write_layout
from runcommit_core.oci.platforms import host_platform
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.plan.making import scratch_image
from runcommit_core.records import record
from runcommit_core.tar.digests import DiffId, Digest

if TYPE_CHECKING:
    from collections.abc import Callable

MADE = "made-by-the-trial"
"""The file that the program makes, in the image's root."""

_PREFIX = "busybox-trial-"
"""Busybox takes its first argument for the applet only where its own name begins so."""

_EPOCH = 1_700_000_000


@record
class TrialImage:
    """An OCI layout, and what its program is called with."""

    reference: str
    argv: tuple[str, ...]


def write_trial_image(folder: Path) -> TrialImage | None:
    """Write the image into the empty ``folder``; None where there is no program to put into it."""
    program_and_words = _program()
    if program_and_words is None:
        return None
    program, words = program_and_words
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    layer = folder / "layer.tar"
    layer.write_bytes(_tar(name, program))
    digest = f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"
    new = NewLayer(
        path=layer,
        diff_id=DiffId(digest),
        digest=Digest(digest),
        size=layer.stat().st_size,
        media_type=OCI_LAYER,
    )
    platform = host_platform()
    config = canonical_json(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            **({"variant": platform.variant} if platform.variant else {}),
            "config": {"Env": [f"RUNCOMMIT_TRIAL={name}"]},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    )
    nothing = replace(scratch_image(), config=config, config_digest=digest_of_bytes(config))
    place = folder / "image"
    write_layout(place, nothing, [new], config, name=None)
    return TrialImage(f"oci:{place}", (f"/{name}", *words))


def maker(machine: str) -> bytes:
    """A static program that makes the file ``/MADE`` and exits with 0, or with 1 if it cannot.

    Source: Linux's tables of system calls (``open`` 2 and ``exit`` 60 on x86-64, ``openat`` 56 and
    ``exit`` 93 on arm64).  KeyError for other machines.
    """
    architecture, code = _CODES[machine]
    return static_program(architecture, code())


def _x86_64() -> bytes:
    before = bytes.fromhex("b802000000")  # mov eax, open
    after = bytes.fromhex(
        "be41000000"  # mov esi, O_WRONLY|O_CREAT
        "baa4010000"  # mov edx, 0644
        "0f05"  # syscall
        "c1e81f"  # shr eax, 31: 1 for an error
        "89c7"  # mov edi, eax
        "b83c000000"  # mov eax, exit
        "0f05"  # syscall
    )
    return before + b"\x48\x8d\x3d" + struct.pack("<i", len(after)) + after + _path()  # lea rdi


def _aarch64() -> bytes:
    instructions = [
        0x92800C60,  # mov x0, AT_FDCWD
        0x10000001 | 8 << 5,  # adr x1, the path: 8 instructions further
        0xD2800822,  # mov x2, O_WRONLY|O_CREAT
        0xD2803483,  # mov x3, 0644
        0xD2800708,  # mov x8, openat
        0xD4000001,  # svc 0
        0xD37FFC00,  # lsr x0, x0, 63: 1 for an error
        0xD2800BA8,  # mov x8, exit
        0xD4000001,  # svc 0
    ]
    return struct.pack(f"<{len(instructions)}I", *instructions) + _path()


def _path() -> bytes:
    return f"/{MADE}\0".encode()


_CODES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "x86_64": ("amd64", _x86_64),
    "aarch64": ("arm64", _aarch64),
}


def _program() -> tuple[bytes, tuple[str, ...]] | None:
    machine = os.uname().machine
    if machine in _CODES:
        return maker(machine), ()
    busybox = shutil.which("busybox")
    if busybox is None or b"/ld" in Path(busybox).read_bytes()[:4096]:  # not a static one
        return None
    return Path(busybox).read_bytes(), ("touch", f"/{MADE}")


def _tar(name: str, program: bytes) -> bytes:
    buffer = io.BytesIO()
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(program), 0o755, _EPOCH
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(program))
    return buffer.getvalue()
