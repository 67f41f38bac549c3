"""What test hosts share: names, one folder, an unprivileged user, the installed wheel."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one session that the whole machine sees; interfaces have at most 15 letters.

    ``number`` tells the session's hosts apart: two of them may run containers at a time, and must
    share neither a bridge, which the last container takes with it, nor the addresses on it.
    """

    suffix: str
    number: int = 0

    @classmethod
    def random(cls) -> Names:
        return cls(secrets.token_hex(4))

    def of_host(self, number: int) -> Names:
        return replace(self, number=number)

    @property
    def user(self) -> str:
        return f"runcommit-{self.suffix}"

    @property
    def docker_bridge(self) -> str:
        return f"rcd{self.suffix}{self.number}"

    @property
    def podman_bridge(self) -> str:
        return f"rcp{self.suffix}{self.number}"

    @property
    def containerd(self) -> str:
        """The namespace of a dockerd in a containerd that it finds running."""
        return f"{self.user}-{self.number}"

    @property
    def podman_network(self) -> str:
        """The first two thirds of a /24 network, the host's own."""
        number = int(self.suffix, 16)
        return f"10.{64 + number % 64}.{(number // 64 + self.number) % 256}"

    @property
    def far_links(self) -> tuple[str, str]:
        """The two ends of the link to the far machine, ours first."""
        return f"rcn{self.suffix}", f"rcf{self.suffix}"

    @property
    def near_address(self) -> str:
        """This machine's address on that link, a /30 network."""
        number = int(self.suffix, 16)
        return f"10.{128 + number % 64}.{number // 64 % 256}.1"

    @property
    def far_address(self) -> str:
        """The far machine's."""
        return f"{self.near_address[:-1]}2"


def call(*argv: str | Path) -> None:
    """Run a command of the set-up; its output is part of the error when it fails."""
    done = subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        command = " ".join(map(str, argv))
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout}")


@contextlib.contextmanager
def unprivileged_user(names: Names) -> Iterator[pwd.struct_passwd]:
    """A user with subordinate ids, who is gone afterwards with all that still runs as them."""
    Path("/etc/subuid").touch()
    Path("/etc/subgid").touch()
    call(
        *("useradd", "--system", "--add-subids-for-system", "--user-group", "--no-create-home"),
        # buildah 1.39's chroot isolation resolves the home of passwd, so there must be one
        *("--home-dir", "/tmp", "--shell", "/usr/sbin/nologin", names.user),
    )
    try:
        yield pwd.getpwnam(names.user)
    finally:
        _end_processes(_ids_of(names.user))
        _remove_strays(pwd.getpwnam(names.user).pw_uid)
        call("userdel", names.user)


def _remove_strays(uid: int) -> None:
    """What programs keep for a user in /tmp whatever TMPDIR says: Java, buildah's chroot."""
    for path in Path("/tmp").iterdir():
        if path.lstat().st_uid == uid:
            shutil.rmtree(path, ignore_errors=True)


def launcher(user: pwd.struct_passwd) -> tuple[str, ...]:
    """What makes a command run as that user; unlike runuser it execs, so signals arrive.

    Engines refuse to start in a folder that their user cannot enter, such as a checkout in
    root's home: the command starts in its own HOME then.
    """
    return (
        *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"),
        *("--inh-caps=-all", "--"),
        *("sh", "-c", 'cd "$(pwd -P)" 2>/dev/null || cd; exec "$@"', "sh"),
    )


def _ids_of(user: str) -> list[range]:
    uid = pwd.getpwnam(user).pw_uid
    entries = (line.split(":") for line in Path("/etc/subuid").read_text().splitlines())
    subordinate = [(int(start), int(count)) for name, start, count in entries if name == user]
    return [range(uid, uid + 1), *(range(start, start + count) for start, count in subordinate)]


def _end_processes(uids: list[range]) -> None:
    """End rootless podman's pause process and whatever an interrupted test left behind."""
    deadline = time.monotonic() + 10
    while pids := [pid for pid in _pids() if _belongs(pid, uids)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes that do not end: {pids}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _belongs(pid: int, uids: list[range]) -> bool:
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    zombie = "\nState:\tZ" in status
    real = int(status.partition("\nUid:\t")[2].split(maxsplit=1)[0])
    return not zombie and any(owner in ids or real in ids for ids in uids)


def give(user: pwd.struct_passwd, *folders: Path) -> None:
    """Make folders and all that is in them the user's own."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def wheel_python(folder: Path) -> Path:
    """The interpreter of :func:`wheel_environment`."""
    return folder / "venv/bin/python"


def wheel_environment(folder: Path) -> None:
    """Install the built wheel where every user can run it: away from /root and from the checkout.

    Debian's interpreter, as the one that runs the tests may be out of reach of other users.
    """
    wheels = folder / "wheels"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ".")
    call("/usr/bin/python3", "-m", "venv", "--without-pip", folder / "venv")
    (wheel,) = wheels.iterdir()
    call(*pip, "--python", wheel_python(folder), "install", f"{wheel}[podman-api]")


@contextlib.contextmanager
def session_folder(names: Names) -> Iterator[Path]:
    """A folder on a real disk that every user may look into; gone afterwards, mounts included."""
    folder = Path("/var/tmp") / names.user
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        _unmount_below(folder)
        shutil.rmtree(folder)


def _unmount_below(folder: Path) -> None:
    with Path("/proc/self/mountinfo").open() as mounts:
        targets = [line.split()[4] for line in mounts]
    for target in reversed([target for target in targets if Path(target).is_relative_to(folder)]):
        call("umount", "--lazy", target)
