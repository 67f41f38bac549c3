"""What a layer does to the packages of its base, as CycloneDX 1.5 JSON."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.parser
import json
import os
import re
import sqlite3
import struct
import tarfile
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runcommit_core import Layers, UsageError, hookimpl, list_files, read_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runcommit_core import Job

VARIABLE = "RUNCOMMIT_SBOM"

DPKG, DPKG_PARTS = "/var/lib/dpkg/status", "/var/lib/dpkg/status.d"
APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
RPM = ("/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite")
UNREAD = tuple(
    f"{folder}/{name}"
    for folder in ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
    for name in ("Packages", "Packages.db")
)
"""Databases of older rpms."""
OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")

_DIST_INFO = re.compile(r"(/.*\.dist-info)(?:/|$)")
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022


@dataclass(frozen=True)
class Package:
    """``kind`` is the type of its purl, ``place`` where it is when it can be in several."""

    kind: str
    name: str
    version: str
    arch: str = ""
    place: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What stays the same when the version does not."""
        return self.kind, self.name, self.arch, self.place

    def purl(self, vendor: str) -> str:
        """Its address, as the purl specification writes it; ``vendor`` is the ID of the OS."""
        space = "" if self.kind == "pypi" or not vendor else f"{quote(vendor)}/"
        name = re.sub(r"[-_.]+", "-", self.name).lower() if self.kind == "pypi" else self.name
        arch = f"?arch={quote(self.arch)}" if self.arch else ""
        return f"pkg:{self.kind}/{space}{quote(name)}@{quote(self.version, safe='')}{arch}"


Packages = dict[tuple[str, ...], Package]


@hookimpl
def check(job: Job, layers: Layers) -> None:
    """Write the list, which gets its name when the job has succeeded."""
    if place := os.environ.get(VARIABLE):
        _write(job, Path(place), json.dumps(bom(job, layers), indent=2) + "\n")


def bom(job: Job, layers: Layers) -> dict[str, Any]:
    """The list as a CycloneDX document."""
    touched = _touched(job, layers)
    before, after = _packages(job, touched, Layers()), _packages(job, touched, layers)
    vendor = _vendor(job, layers) if any(key[0] != "pypi" for key in before | after) else ""
    gone = sorted(before[key].purl(vendor) for key in before.keys() - after.keys())
    unread = [path for path in UNREAD if path in touched]
    subject = "+".join(layer.diff_id for layer in layers)
    when = dt.datetime.fromtimestamp(job.layer.epoch, dt.UTC)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{job.base.config_digest}+{subject}").urn,
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "runcommit-sbom"}]},
            "component": {"type": "container", "name": "layer", "version": subject or "none"},
            "properties": [
                _property("base", job.base.config_digest),
                *(_property("removed", purl) for purl in gone),
                *(_property("unread", path) for path in unread),
            ],
        },
        "components": [
            _component(after[key], before.get(key), vendor)
            for key in sorted(after)
            if after[key] != before.get(key)
        ],
    }


def _component(package: Package, previous: Package | None, vendor: str) -> dict[str, Any]:
    purl = package.purl(vendor)
    change = [_property("change", "changed" if previous else "added")]
    if previous:
        change.append(_property("previous_version", previous.version))
    named = {"name": package.name, "version": package.version}
    ref = f"{purl}#{package.place}" if package.place else purl
    return {"type": "library", "bom-ref": ref, **named, "purl": purl, "properties": change}


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"runcommit:{name}", "value": value}


def _touched(job: Job, layers: Layers) -> set[str]:
    """Every file that the layers add, change or take away; those below a lost folder as well."""
    touched: set[str] = set()
    lost: set[str] = set()
    for layer in layers:
        with tarfile.open(layer.path, "r:") as tar:
            folders = {member.name for member in tar if member.isdir()}
        for change in layer.report.changes:
            name = os.fsdecode(change.path)
            touched.add(f"/{name}")
            if change.action != "added" and name not in folders:
                lost.add(f"/{name}")
    return touched.union(list_files(job, lost))


def _packages(job: Job, touched: set[str], layers: Layers) -> Packages:
    """What the databases that were touched say, in the base or with the layers."""
    readers: list[tuple[Callable[[str, bytes], Iterable[Package]], list[str]]] = []
    if DPKG in touched or any(path.startswith(f"{DPKG_PARTS}/") for path in touched):
        parts = [
            path for path in list_files(job, [DPKG_PARTS], layers) if "." not in Path(path).name
        ]
        readers.append((_dpkg, [DPKG, *parts]))
    if touched.intersection(APK):
        readers.append((_apk, [*APK]))
    infos = {match[1] for path in touched if (match := _DIST_INFO.match(path))}
    readers.append((_python, [f"{info}/METADATA" for info in sorted(infos)]))
    found = [
        package
        for parse, paths in readers
        for path, content in (read_files(job, paths, layers) if paths else {}).items()
        for package in parse(path, content)
    ]
    for path in RPM:
        if {path, f"{path}-wal"} & touched:
            found += _rpm(job, read_files(job, [path, f"{path}-wal"], layers))
    return {package.key: package for package in found}


def _dpkg(_path: str, content: bytes) -> Iterator[Package]:
    for stanza in _stanzas(content):
        # distroless images have no Status
        if stanza.get("Status", " installed").endswith(" installed") and "Package" in stanza:
            arch = stanza.get("Architecture", "")
            yield Package("deb", stanza["Package"], stanza.get("Version", ""), arch)


def _apk(_path: str, content: bytes) -> Iterator[Package]:
    for stanza in _stanzas(content):
        if "P" in stanza:
            yield Package("apk", stanza["P"], stanza.get("V", ""), stanza.get("A", ""))


def _python(path: str, content: bytes) -> Iterator[Package]:
    said = email.parser.BytesHeaderParser().parsebytes(content)
    if said["Name"]:
        place = str(Path(path).parent.parent)
        yield Package("pypi", str(said["Name"]), str(said["Version"] or ""), place=place)


def _stanzas(content: bytes) -> Iterator[dict[str, str]]:
    """Blocks of ``Key: value`` lines; what continues a value is left out."""
    for block in re.split(r"\n\s*\n", content.decode(errors="replace")):
        pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line[1:])
        yield {key: value.strip() for key, value in pairs if not key.startswith((" ", "\t"))}


def _rpm(job: Job, files: dict[str, bytes]) -> list[Package]:
    """The packages in a database of rpm; sqlite wants to see it and its journal as files."""
    if not files:
        return []
    with tempfile.TemporaryDirectory(dir=job.folder) as folder:
        for path, content in files.items():
            (Path(folder) / Path(path).name).write_bytes(content)
        database = sqlite3.connect(Path(folder) / Path(RPM[0]).name)
        with contextlib.closing(database):
            return [_header(blob) for (blob,) in database.execute("SELECT blob FROM Packages")]


def _header(blob: bytes) -> Package:
    """A package from its header: a table of tags, then their values."""
    count, _ = struct.unpack_from(">II", blob)
    start = 8 + 16 * count
    tags = {}
    for tag, _, offset, _ in struct.iter_unpack(">IIiI", blob[8:start]):
        if tag == _EPOCH:
            tags[tag] = str(struct.unpack_from(">I", blob, start + offset)[0]) + ":"
        elif tag in (_NAME, _VERSION, _RELEASE, _ARCH):
            at = start + offset
            tags[tag] = blob[at : blob.index(b"\0", at)].decode(errors="replace")
    version = f"{tags.get(_EPOCH, '')}{tags[_VERSION]}-{tags[_RELEASE]}"
    return Package("rpm", tags[_NAME], version, tags.get(_ARCH, ""))


def _vendor(job: Job, layers: Layers) -> str:
    for content in read_files(job, OS_RELEASE, layers).values():
        if found := re.search(rb"^ID=\"?([a-z0-9._-]+)", content, re.MULTILINE):
            return found[1].decode()
    return ""


def _write(job: Job, place: Path, text: str) -> None:
    beside = place.with_name(f".{place.name}.{job.id}")
    try:
        beside.write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write the SBOM {place}: {error.strerror}") from error

    def settle(failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            beside.replace(place)
        else:
            beside.unlink(missing_ok=True)

    job.cleanup.push(settle)
