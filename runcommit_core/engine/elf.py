"""The smallest ELF programs: headers, and machine code where there is any.

Source: the System V ABI, chapter 4 "Object files" and its processor supplements.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

from runcommit_core.records import record

ADDRESS: Final = 0x400000
"""Where a program is in memory."""

_EXECUTABLE, _CURRENT, _LOAD, _READ_EXECUTE, _PAGE = 2, 1, 1, 5, 0x1000


@record
class Machine:
    """A processor: how ``struct`` calls its order of bytes, and its ``e_machine``."""

    bits: int
    order: Literal["<", ">"]
    number: int


MACHINES: Final = {
    "386": Machine(32, "<", 3),
    "amd64": Machine(64, "<", 62),
    "arm": Machine(32, "<", 40),
    "arm64": Machine(64, "<", 183),
    "loong64": Machine(64, "<", 258),
    "mips64le": Machine(64, "<", 8),
    "ppc64le": Machine(64, "<", 21),
    "riscv64": Machine(64, "<", 243),
    "s390x": Machine(64, ">", 22),
}
"""The architectures of image-spec that are known here."""


def empty_program(architecture: str) -> bytes:
    """A header that has nothing behind it: enough to be asked whether this machine runs such.

    KeyError for an architecture that is not in ``MACHINES``.
    """
    return _header(MACHINES[architecture], segments=0)


def static_program(architecture: str, code: bytes) -> bytes:
    """A program of 64 bits, little-endian, that is this machine code and nothing else.

    It begins at the code's first byte; all of it is in one segment, read-only and executable.
    """
    header = _header(MACHINES[architecture], segments=1)
    headers = len(header) + struct.calcsize(_SEGMENT)
    size = headers + len(code)
    where = (0, ADDRESS, ADDRESS, size, size, _PAGE)
    return header + struct.pack(_SEGMENT, _LOAD, _READ_EXECUTE, *where) + code


_SEGMENT = "<IIQQQQQQ"


def _header(machine: Machine, *, segments: int) -> bytes:
    wide = machine.bits == 64  # noqa: PLR2004
    word = "Q" if wide else "I"
    own, of_segment = (64, 56) if wide else (52, 32)
    kind = bytes((machine.bits // 32, 2 if machine.order == ">" else 1, _CURRENT))
    start = ADDRESS + own + segments * of_segment if segments else 0
    return struct.pack(
        f"{machine.order}16sHHI{word * 3}I6H",
        *(b"\x7fELF" + kind, _EXECUTABLE, machine.number, _CURRENT),
        *(start, own if segments else 0, 0, 0),
        *(own, of_segment, segments, 0, 0, 0),
    )
