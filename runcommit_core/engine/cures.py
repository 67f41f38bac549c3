"""From an engine's words to a cure: what known failures mean and what to do about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SUBORDINATE_IDS = (
    "give your user subordinate ids: as root `usermod --add-subuids 100000-165535"
    " --add-subgids 100000-165535 USER`, then the engine's `system migrate`, if it has one"
)

Cure = tuple[re.Pattern[str], str]


def _cure(words: str, cure: str) -> Cure:
    return re.compile(words, re.IGNORECASE | re.DOTALL), cure


_ON_THE_WAY = (
    _cure(
        r"closed by remote host|error waiting for container|/wait\": "
        r"|dial-stdio\] has exited.{0,200}stderr=\s*\Z",
        "the connection to the engine was cut; `runcommit prune` removes the job's container there"
        " if that could not be done now",
    ),
    _cure(
        r"host key verification failed|key mismatch|knownhosts",
        "the machine's key is not known, or is another one: connect once by hand (`ssh HOST`) and"
        " look at the key before it goes into ~/.ssh/known_hosts",
    ),
    _cure(
        r"permission denied \(publickey|unable to authenticate",
        "ssh must get there without a password: load the key into ssh-agent, or name it with"
        " IdentityFile in ~/.ssh/config",
    ),
    _cure(
        r"bind source path does not exist|statfs \S+: no such file",
        "does the engine have this machine's files?  A virtual machine has those of the folders"
        " that it shares: set TMPDIR and RUNCOMMIT_CACHE_DIR to one of them",
    ),
    _cure(
        r"could not resolve hostname|(error during|failed to) connect.{0,600}no such host",
        "no machine has that name: look at the engine's address, in its variables and in its"
        " contexts or connections",
    ),
    _cure(
        r"sh: (line )?\d+: \S+: (command )?not found",
        "install the engine there, or put its program on the PATH that ssh commands have there",
    ),
)
"""What keeps us from an engine, whichever it is."""

_THERE = (
    _cure(
        r"(error during|failed to) connect.{0,600}(ssh: |dial tcp|timed out|refused)",
        "is that machine up, and is its engine (or sshd) at that address?",
    ),
    _cure(
        r"cgroups in hybrid mode not supported",
        'crun refuses hybrid cgroups: write runtime = "runc" below [engine] in containers.conf',
    ),
    _cure(
        r"setrlimit|RLIMIT_(NOFILE|NPROC)",
        "limits cannot be raised here: write default_ulimits = [] below [containers] in"
        " containers.conf",
    ),
    _cure(
        r"""exec(utable)?:? "?new[ug]idmap"?.{0,40}not found""",
        "install newuidmap and newgidmap (package uidmap or shadow-utils)",
    ),
    _cure(
        r"no sub[ug]id ranges|cannot find (UID/GID|mappings) for user|insufficient [UG]IDs"
        r"|newuidmap: uid range|not enough (unused )?ids",
        _SUBORDINATE_IDS,
    ),
    _cure(
        r"XDG_RUNTIME_DIR|RunRoot is pointing to a path|/run/user/\d+.{0,60}(denied|no such)",
        "set XDG_RUNTIME_DIR to a folder of your own, mode 700: /run/user/UID, made by a login or"
        " `loginctl enable-linger`",
    ),
    _cure(
        r"(slirp4netns|pasta)\W{1,20}.{0,60}(not found|no such file)",
        "install slirp4netns or passt, or use --network none or host",
    ),
    _cure(
        r"/dev/net/tun|slirp4netns failed|slirp4netns sync pipe|pasta failed",
        "rootless networks need /dev/net/tun (as root: `chmod 666 /dev/net/tun`), or use"
        " --network none or host",
    ),
    _cure(
        r"/dev/fuse|fuse: device not found|fusermount",
        "fuse-overlayfs needs /dev/fuse (as root: `chmod 666 /dev/fuse`), or write driver ="
        ' "overlay" without a mount_program into storage.conf',
    ),
    _cure(
        r"graph driver .{0,40}overwritten by graph driver",
        "the store was made with another driver: choose that one again, or a new store, which loses"
        " what is in this one",
    ),
    _cure(
        r"not supported over|kernel does not support overlay|overlay: invalid argument",
        "put the engine's store on ext4 or xfs, or make the kernel's overlay module available",
    ),
    _cure(
        r"no space left on device|disk quota exceeded",
        "free space for the engine's store and for TMPDIR, or set TMPDIR to another disk",
    ),
    _cure(
        r"could not find bridge|failed to (set up|create) .{0,40}bridge",
        "restart the daemon, which makes its bridge anew, or use --network none or host",
    ),
    _cure(
        r"netavark.{0,80}\bnft\b|unable to execute nft", "install nftables, which netavark calls"
    ),
    _cure(
        r"could not find .?netavark|unable to find network (backend|plugin)"
        r"|failed to find plugin \S+ in path",
        "install the engine's network programs (netavark and aardvark-dns, or CNI's plugins), or"
        " use --network none or host",
    ),
    _cure(
        r"exec format error",
        "the program is for another architecture: install qemu-user-static with binfmt support, or"
        " choose a base of this one",
    ),
    _cure(
        r"(OCI runtime|crun|runc)\W{1,4}.{0,60}(not found|no such file)"
        r"|could not find .{0,30}runtime",
        "install crun or runc, or name one as runtime below [engine] in containers.conf",
    ),
    _cure(
        r"cannot (chdir|set the working directory)|getting current working directory",
        "start in a folder that the engine's user may enter",
    ),
    _cure(
        r"policy\.json.{0,40}no such file",
        "install containers-common (golang-github-containers-common), which brings policy.json",
    ),
    _cure(
        r"cannot clone|unshare.{0,60}operation not permitted|max_user_namespaces"
        r"|user namespaces are not enabled",
        "user namespaces are off: as root set the sysctl user.max_user_namespaces above 0, and"
        " kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    _cure(
        r"network \S+ not found|unable to find network with name",
        "--network takes none, host, or a network of the engine's own (its `network ls`)",
    ),
    _cure(
        r"cannot use networks as rootless",
        "this rootless engine has no networks of its own: use --network none or host",
    ),
    _cure(
        r"unable to find user|unknown user error|no matching entries in passwd",
        "give --user as UID[:GID], or a name that the base's /etc/passwd has",
    ),
    _cure(
        r"unknown (shorthand )?flag",
        "--run-flag takes flags of this engine's `run`, --engine-flag those before its verb",
    ),
    _cure(
        r"pull access denied|manifest unknown|name unknown|repository .{0,80}does not exist"
        r"|repository .{0,80}not found|initializing source docker://|Get .{0,4}https?://[^/]+/v2/",
        "check the image's name and your login; an image that is in the engine needs no registry",
    ),
    _cure(
        r"sd-bus call|interactive authentication required|dbus.{0,60}(no such|denied)",
        'there is no systemd session: write cgroup_manager = "cgroupfs" below [engine] in'
        " containers.conf",
    ),
)
"""What keeps an engine from working."""

_brought: dict[str, tuple[Cure, ...]] = {}


def consult(backend: str, cures: Mapping[str, str]) -> None:
    """Know what a backend knows of its engine's words, too; re.error for what is no expression."""
    _brought.pop(backend, None)
    if cures:
        _brought[backend] = tuple(_cure(words, cure) for words, cure in cures.items())


def cure_for(words: str) -> str:
    """What to do about an engine's error message; empty for one that is not known."""
    return next((cure for pattern, cure in _known() if pattern.search(words)), "")


def _known() -> Iterable[Cure]:
    """The backend that was loaded last knows most about it."""
    yield from _ON_THE_WAY
    for cures in reversed(_brought.values()):
        yield from cures
    yield from _THERE
