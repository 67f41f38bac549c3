"""What the contract expects of a job, in words that tell a backend's author what to change.

Every expectation is given the duty that it looks after.  Where it is not met the failure says what
was expected and what was there instead, which hook owes it, what to change, and where to read on.
"""

from __future__ import annotations

import re
import tarfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runcommit_core.testing.bench import content, entries
from runcommit_core.testing.duties import LAYER, RUNS, unmet
from runcommit_core.testing.ends import COMMAND_FAILED, broken_step, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from runcommit_core.engine.process import Running
    from runcommit_core.testing.bench import Ran
    from runcommit_core.testing.duties import Duty

_PATIENCE = 60.0


def expect(holds: object, wanted: str, duty: Duty, *, seen: str = "it is not so") -> None:
    """Expect what has no word of its own below."""
    __tracebackhide__ = True
    if not holds:
        unmet(duty, wanted, seen)


def expect_equal(what: str, seen: object, wanted: object, duty: Duty) -> None:
    """Expect ``what`` to be ``wanted``."""
    __tracebackhide__ = True
    if seen != wanted:
        unmet(duty, f"{what} to be {wanted!r}", f"it is {seen!r}")


def expect_end(ran: Ran, code: int, duty: Duty) -> Ran:
    """Expect the exit code of a job, and no result on standard output unless it is 0."""
    __tracebackhide__ = True
    if ran.returncode != code:
        if step := broken_step(ran.returncode, ran.stderr):
            change = f"mend what is said of it below; here it is to {duty.change}"
            duty = replace(duty, hook=step, change=change)
        unmet(duty, f"exit code {named(code)}", f"the job ended with {named(ran.returncode)}", ran)
    if code and ran.stdout:
        unmet(duty, "no result of a job that fails", f"it printed {ran.stdout!r}", ran)
    return ran


def expect_success(ran: Ran, duty: Duty = RUNS) -> Ran:
    """Expect a job to succeed."""
    __tracebackhide__ = True
    return expect_end(ran, 0, duty)


def expect_failed_command(ran: Ran, code: int, duty: Duty) -> Ran:
    """Expect a job to fail because its command ended with ``code``."""
    __tracebackhide__ = True
    expect_end(ran, COMMAND_FAILED, duty)
    told = re.findall(r"the command failed with exit code (\d+)", ran.stderr)
    if told[-1:] != [str(code)]:
        unmet(duty, f"the exit code {code} to be told", f"told was {told[-1:]}", ran)
    return ran


def expect_diff_id(ran: Ran, wanted: str = "", duty: Duty = LAYER) -> str:
    """Expect a job to make one layer, with this diff_id if one is given; the diff_id."""
    __tracebackhide__ = True
    expect_success(ran, duty)
    diff_id = ran.stdout.strip()
    if ran.stdout.count("\n") != 1:
        unmet(duty, "one new layer", f"the job printed {ran.stdout!r}", ran)
    if wanted and diff_id != wanted:
        unmet(duty, f"a layer with the diff_id {wanted}", f"it has {diff_id}")
    return diff_id


def expect_said(ran: Ran, *words: str, duty: Duty) -> Ran:
    """Expect words on standard error."""
    __tracebackhide__ = True
    for missing in (text for text in words if text not in ran.stderr):
        unmet(duty, f"{missing!r} on standard error", "it was not said", ran)
    return ran


def expect_line(running: Running, said: Path, line: str, duty: Duty) -> None:
    """Expect a job that runs beside the test to write this line to its file ``said``."""
    __tracebackhide__ = True
    end = time.monotonic() + _PATIENCE
    while f"{line}\n" not in said.read_text():
        if running.poll() is not None or time.monotonic() > end:
            unmet(duty, f"the line {line!r} while the job runs", f"it said {said.read_text()!r}")
        time.sleep(0.05)


def expect_ending(running: Running, said: Path, duty: Duty) -> int:
    """Expect a job that was told to end to do so; its exit code."""
    __tracebackhide__ = True
    end = time.monotonic() + _PATIENCE
    while (code := running.poll()) is None:
        if time.monotonic() > end:
            unmet(duty, f"an end within {_PATIENCE:g} s", f"it runs, and said {said.read_text()!r}")
        time.sleep(0.05)
    return code


def expect_unsaid(ran: Ran, *words: str, duty: Duty) -> None:
    """Expect words to be absent from standard error and from the result."""
    __tracebackhide__ = True
    for said in (text for text in words if text in ran.stderr + ran.stdout):
        unmet(duty, f"nobody to say {said!r}", "it was said", ran)


def expect_paths(
    layer: Path, wanted: AbstractSet[str], duty: Duty = LAYER
) -> dict[str, tarfile.TarInfo]:
    """Expect a layer to hold exactly these members; the members by name."""
    __tracebackhide__ = True
    members = _members(layer, duty)
    parts = []
    if missing := sorted(wanted - set(members)):
        parts.append(f"it lacks {missing}")
    if surplus := sorted(set(members) - wanted):
        parts.append(f"it also has {_shortened(surplus)}")
    if parts:
        unmet(duty, f"the layer {layer.name} to hold {sorted(wanted)}", " and ".join(parts))
    return members


def expect_member(member: tarfile.TarInfo, duty: Duty = LAYER, **wanted: Any) -> None:
    """Expect attributes of a layer's member; a ``type`` is the constant of ``tarfile``."""
    __tracebackhide__ = True
    for name, value in wanted.items():
        octal = oct if name == "mode" else repr
        if (seen := getattr(member, name)) != value:
            unmet(duty, f"{member.name} with {name} {octal(value)}", f"it has {octal(seen)}")


def expect_content(layer: Path, name: str, wanted: bytes, duty: Duty = LAYER) -> None:
    """Expect one regular file of a layer to hold these bytes."""
    __tracebackhide__ = True
    if name not in (members := _members(layer, duty)):
        unmet(duty, f"{name} in the layer", f"the layer has {_shortened(sorted(members))}")
    expect_member(members[name], duty, type=tarfile.REGTYPE)
    expect_equal(f"the content of {name}", content(layer, name), wanted, duty)


def expect_no_file(*paths: Path, duty: Duty) -> None:
    """Expect outputs not to be there."""
    __tracebackhide__ = True
    for path in paths:
        if path.exists():
            unmet(duty, f"no output {path.name}", "it is there")


def expect_nothing_left(left: Iterable[str], duty: Duty) -> None:
    """Expect the engine to hold no more than before."""
    __tracebackhide__ = True
    if names := sorted(left):
        unmet(duty, "nothing of the job's to stay in the engine", f"there is {_shortened(names)}")


def each(commands: Iterable[str]) -> Iterator[str]:
    """The options that give a job these commands."""
    for command in commands:
        yield from ("-c", command)


def _members(layer: Path, duty: Duty) -> dict[str, tarfile.TarInfo]:
    __tracebackhide__ = True
    if not layer.exists():
        unmet(duty, f"a layer in {layer.name}", "there is no such file")
    return entries(layer)


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{names[:12]}{more}"
