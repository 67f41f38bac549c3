"""Flags of ``podman run`` as parts of the form that a service is given to create a container.

The program podman fills that form in by code of its own, which no service has; so each flag stands
here with its place in the form (podman's ``SpecGenerator``) and how its text becomes what is there.
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

from runcommit_core import UsageError, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Part = dict[str, Any]
    Form = Callable[[str], Any]

CPU_PERIOD = 100_000
_UNLIMITED = 2**64 - 1


def part_of(words: tuple[str, ...]) -> Part:
    """What the flags fill in; UsageError for one that has no place, or whose value makes no sense.

    Some values, like paths of devices, are judged by the service alone.
    """
    return functools.reduce(merged, _parts(words), {})


def merged(there: Part, more: Part) -> Part:
    """Both forms in one: lists go on, parts are merged, any other value is the later one's."""
    result = dict(there)
    for name, value in more.items():
        old = there.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            result[name] = merged(old, value)
        elif isinstance(value, list):
            result[name] = [*(old or ()), *value]
        else:
            result[name] = value
    return result


def limits(*, memory: int, cpus: float) -> Part:
    """Memory in bytes and processors, 0 is no limit; as much swap as memory, as podman has it."""
    part: Part = {}
    if memory:
        part["memory"] = {"limit": memory, "swap": 2 * memory}
    if cpus:
        part["cpu"] = {"period": CPU_PERIOD, "quota": int(cpus * CPU_PERIOD)}
    return {"resource_limits": part}


def _parts(words: tuple[str, ...]) -> Iterator[Part]:
    queue = iter(words)
    for word in queue:
        flag, value = _cut(word)
        if flag in _SWITCHES and value in (None, "true", "false"):
            yield _at(_SWITCHES[flag], value != "false")
            continue
        if flag not in _FLAGS:
            raise _unknown(word, flag)
        value = next(queue, None) if value is None else value
        if not value:
            raise UsageError(f"--run-flag {word!r} needs a value")
        place, form = _FLAGS[flag]
        try:
            formed = form(value)
        except (KeyError, ValueError) as error:
            raise UsageError(f"--run-flag {flag} does not take {value!r}") from error
        yield _at(place, formed) if place else formed


def _cut(word: str) -> tuple[str, str | None]:
    """The flag by its long name, and the value that is in the same word."""
    if not word.startswith("--") and word[:2] in _SHORT and len(word) > len("-v"):
        return _SHORT[word[:2]], word[2:].removeprefix("=")
    flag, separator, value = word.partition("=")
    return _SHORT.get(flag, flag), value if separator else None


def _at(place: str, value: Any) -> Part:
    for name in reversed(place.split(".")):
        value = {name: value}
    return dict(value)


def _unknown(word: str, flag: str) -> UsageError:
    if flag in _OURS:
        tip = f"use runcommit's own option {flag}"
        return UsageError(f"--run-flag {word!r} is not for podman-api", tip=tip)
    return UsageError(
        f"--run-flag {word!r} has no counterpart that podman-api knows",
        tip=f"it knows {', '.join(sorted({*_FLAGS, *_SWITCHES}))}; the backend podman takes all"
        " flags of `podman run`",
    )


def _several(text: str) -> list[str]:
    return text.split(",")


def _pair(text: str) -> Part:
    return dict([text.partition("=")[::2]])


def _variable(text: str) -> Part:
    """``NAME`` alone takes the value that it has here, if it has one."""
    name, separator, value = text.partition("=")
    if separator:
        return {name: value}
    return {name: os.environ[name]} if name in os.environ else {}


def _namespace(text: str) -> Part:
    mode, separator, value = text.partition(":")
    if not separator:
        return {"nsmode": mode}
    return {"nsmode": {"ns": "path"}.get(mode, mode), "value": value}


def _user_namespace(text: str) -> Part:
    part: Part = {"userns": _namespace(text)}
    if text == "auto":
        part["idmappings"] = {"AutoUserNs": True}
    elif text.partition(":")[0] in ("auto", "private"):
        raise ValueError(text)
    return part


def _ulimit(text: str) -> list[Part]:
    """``NAME=SOFT[:HARD]``; -1 is no limit."""
    name, _, bounds = text.partition("=")
    soft, _, hard = bounds.partition(":")
    numbers = [int(number) % (_UNLIMITED + 1) for number in (soft, hard or soft)]
    return [{"type": name, "soft": numbers[0], "hard": numbers[1]}]


def _nameserver(text: str) -> Part:
    return {"use_image_resolve_conf": True} if text == "none" else {"dns_server": _several(text)}


def _security(text: str) -> Part:
    """``NAME=VALUE``, or with the colon of old."""
    name, _, value = re.sub("[=:]", "=", text, count=1).partition("=")
    if name == "no-new-privileges":
        return {"no_new_privileges": value != "false"}
    parts: Part = {
        "apparmor": {"apparmor_profile": value},
        "label": {"selinux_opts": [value]},
        "mask": {"mask": value.split(":")},
        "proc-opts": {"procfs_opts": _several(value)},
        "seccomp": {"seccomp_profile_path": value},
        "unmask": {"unmask": value.split(":")},
    }
    if not value:
        raise ValueError(text)
    return dict(parts[name])


def _tmpfs(text: str) -> list[Part]:
    target, _, options = text.partition(":")
    return [_mount("tmpfs", "tmpfs", target, options)]


def _volume(text: str) -> Part:
    """A path of the service's machine, the name of a volume, or neither, at a path in there."""
    source, separator, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if "O" in options.split(","):  # an overlay, which the form has elsewhere
        raise ValueError(text)
    if source.startswith("/") and separator:
        return {"mounts": [_mount("bind", source, target, options or "rbind")]}
    named = {"Name": source, "Dest": target} if separator else {"Name": "", "Dest": source}
    return {"volumes": [{**named, "Options": options.split(",") if options else []}]}


def _mount(kind: str, source: str, target: str, options: str) -> Part:
    if not target.startswith("/"):
        raise ValueError(target)
    listed = options.split(",") if options else []
    return {"type": kind, "source": source, "destination": target, "options": listed}


_IN_CPU = "resource_limits.cpu"
_IN_MEMORY = "resource_limits.memory"
_PLACES: dict[Form, str] = {
    str: f"cgroup-parent cgroups=cgroups_mode cpuset-cpus={_IN_CPU}.cpus cpuset-mems={_IN_CPU}.mems"
    " hostname runtime=oci_runtime systemd tz=timezone umask user workdir=work_dir",
    int: f"cpu-period={_IN_CPU}.period cpu-quota={_IN_CPU}.quota cpu-shares={_IN_CPU}.shares"
    f" memory-swappiness={_IN_MEMORY}.swappiness oom-score-adj"
    " pids-limit=resource_limits.pids.limit",
    _several: "add-host=hostadd cap-add cap-drop dns-option dns-search group-add=groups unsetenv"
    " volumes-from",
    _pair: "annotation=annotations label=labels sysctl",
    _namespace: "cgroupns ipc=ipcns pid=pidns uts=utsns",
    parse_size: f"memory-reservation={_IN_MEMORY}.reservation shm-size",
    _variable: "env",
    _tmpfs: "tmpfs=mounts",
    _ulimit: "ulimit=r_limits",
}
"""By what makes a value of a flag's text: flags, with their places where these are called else."""


def _places(text: str) -> Part:
    pairs = (word.partition("=") for word in text.split())
    return {f"--{flag}": place or flag.replace("-", "_") for flag, _, place in pairs}


_FLAGS: dict[str, tuple[str, Form]] = {
    flag: (place, form) for form, text in _PLACES.items() for flag, place in _places(text).items()
} | {
    "--cpus": ("", lambda text: limits(memory=0, cpus=float(text))),
    "--device": ("devices", lambda text: [{"path": path} for path in _several(text)]),
    "--dns": ("", _nameserver),
    "--memory": ("", lambda text: limits(memory=parse_size(text), cpus=0)),
    "--memory-swap": (f"{_IN_MEMORY}.swap", lambda it: -1 if it == "-1" else parse_size(it)),
    "--security-opt": ("", _security),
    "--userns": ("", _user_namespace),
    "--volume": ("", _volume),
}
"""By flag: its place in the form (none: the text says which), and what makes a value of text."""

_SWITCHES = _places(
    f"http-proxy=httpproxy init no-hosts=use_image_hosts privileged read-only=read_only_filesystem"
    f" oom-kill-disable={_IN_MEMORY}.disableOOMKiller read-only-tmpfs=read_write_tmpfs"
    " unsetenv-all=unsetenvall"
)
_OURS = ("--env-file", "--mount", "--network", "--platform", "--secret", "--timeout")
_LETTERS = ("cpu-shares", "env", "hostname", "label", "memory", "user", "volume", "workdir")
_SHORT = {f"-{flag[0]}": f"--{flag}" for flag in _LETTERS} | {
    "-w": "--workdir",
    "--net": "--network",
}
