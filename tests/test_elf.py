"""Programs written as headers and machine code."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from runcommit_core.engine.elf import ADDRESS, MACHINES, empty_program, static_program

if TYPE_CHECKING:
    from pathlib import Path

EXIT_WITH_7 = {
    "x86_64": ("amd64", "bf07000000b83c0000000f05"),  # mov edi, 7; mov eax, exit; syscall
    "aarch64": ("arm64", "e00080d2a80b80d2010000d4"),  # mov x0, 7; mov x8, exit; svc 0
}


def test_this_machine_runs_a_program(tmp_path: Path):
    architecture, code = EXIT_WITH_7[os.uname().machine]
    path = tmp_path / "program"
    path.write_bytes(static_program(architecture, bytes.fromhex(code)))
    path.chmod(0o700)
    assert subprocess.run([path], check=False).returncode == 7


@pytest.mark.parametrize("architecture", MACHINES)
def test_a_header_says_what_it_is_for(architecture: str):
    machine, data = MACHINES[architecture], empty_program(architecture)
    assert data[:4] == b"\x7fELF"
    assert data[4] == machine.bits // 32
    assert data[5] == {"<": 1, ">": 2}[machine.order]
    assert struct.unpack_from(f"{machine.order}HHI", data, 16) == (2, machine.number, 1)
    assert len(data) == struct.unpack_from(f"{machine.order}H", data, len(data) - 12)[0]


def test_a_program_begins_behind_its_headers():
    data = static_program("arm64", b"code")
    assert struct.unpack_from("<Q", data, 24) == (ADDRESS + data.index(b"code"),)
    assert hashlib.sha256(empty_program("s390x")).hexdigest() == (
        "080d6955cda3d341901f578aacbcfc55b8bf25017a190083eada7344693a5e82"
    )
