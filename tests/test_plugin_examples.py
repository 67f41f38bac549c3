"""The plugins under ``examples/``, installed as anybody would, on jobs that run."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.testing.bases import busybox_layer, write_layout
from runcommit_core.testing.bench import entries, local_bench
from tests import images
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Ran
    from tests.bases import Base
    from tests.hosts import Host

EXAMPLES = Path(__file__).parent.parent / "examples/plugins"
SCRATCH = "runcommit_core.testing.scratch"
TINY = "Name: tiny\nVersion: 1.2\nRelease: 3\nEpoch: 4\nSummary: x\nLicense: x\nBuildArch: noarch\n"
SITE = "usr/lib/python3/site-packages"

STATUS = """\
Package: kept
Status: install ok installed
Architecture: amd64
Version: 1

Package: upgraded
Status: install ok installed
Architecture: amd64
Description: words
 Version: of a continued line
Version: 1:1.0-1
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``PYTHONPATH`` with the three distributions as pip installs them."""
    target = tmp_path_factory.mktemp("installed")
    target.chmod(0o755)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", target]
    found = [path.parent for path in sorted(EXAMPLES.glob("*/pyproject.toml"))]
    subprocess.run([*pip, *options, *found], check=True)
    assert [path.name for path in found] == ["gate", "sbom", "timing"]
    return target


class Shop:
    """The command line with the plugins, a base, and where their files go."""

    def __init__(self, folder: Path, installed: Path, base: Base) -> None:
        self.layer, self.sbom, self.trace = folder / "layer.tar", folder / "bom", folder / "trace"
        self.env = {
            "PYTHONPATH": str(installed),
            "RUNCOMMIT_CACHE_DIR": str(folder / "cache"),
            "RUNCOMMIT_SBOM": str(self.sbom),
            "RUNCOMMIT_TRACE": str(self.trace),
        }
        self.base = base
        self._bench = local_bench(SCRATCH, folder, set)

    def run(self, *words: str) -> Ran:
        network = ("--network", "none")
        return self._bench.run(
            *("run", "-b", SCRATCH, *network, "-o", self.layer, *words, self.base.ref), env=self.env
        )

    def bom(self, *words: str) -> dict[str, Any]:
        assert self.run(*words).returncode == 0
        return checked_bom(self.sbom)

    def spans(self) -> list[dict[str, Any]]:
        return checked_spans(self.trace.read_text().splitlines()[-1])


@pytest.fixture
def shop(tmp_path: Path, installed: Path, machine: None) -> Shop:
    members = {
        "var/lib/dpkg/status": STATUS.encode(),
        "lib/apk/db/installed": b"C:Q1=\nP:musl\nV:1.2.4-r1\nA:x86_64\n\nP:gone\nV:1\nA:x86_64\n",
        "etc/os-release": b'NAME="x"\nID=debian\n',
        f"{SITE}/old-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: Old\nVersion: 1.0\n",
        f"{SITE}/kept-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: kept\nVersion: 1.0\n",
        "venv/lib/gone-3.dist-info/METADATA": b"Metadata-Version: 2.1\nName: gone\nVersion: 3\n",
        "opt/suid": b"there before",
    }
    layers = [busybox_layer(), images.layer(members)]
    return Shop(tmp_path, installed, write_layout(tmp_path / "base", layers))


def checked_bom(path: Path) -> dict[str, Any]:
    """The document, once it is what CycloneDX 1.5 demands of the parts in it."""
    found: dict[str, Any] = json.loads(path.read_text())
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        found["serialNumber"],
    )
    assert set(found) == {*("bomFormat", "specVersion", "version", "serialNumber", "metadata")} | {
        "components"
    }
    metadata = found["metadata"]
    assert set(metadata) == {"timestamp", "tools", "component", "properties"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["timestamp"])
    for component in (metadata["component"], *metadata["tools"]["components"]):
        assert component["type"] in {"container", "application"}
        assert component["name"]
    for item in found["components"]:
        assert set(item) == {"type", "bom-ref", "name", "version", "purl", "properties"}
        assert item["type"] == "library"
        assert re.fullmatch(r"pkg:(deb|apk|rpm|pypi)/\S+@\S+", item["purl"])
    pairs = [each for item in found["components"] for each in item["properties"]]
    pairs += metadata["properties"]
    assert all(set(pair) == {"name", "value"} for pair in pairs)
    refs = [item["bom-ref"] for item in found["components"]]
    assert len(refs) == len(set(refs))
    return found


def changes(bom: dict[str, Any]) -> dict[str, str]:
    """Each purl with what became of it."""
    told = {
        item["purl"]: " from ".join(each["value"] for each in item["properties"])
        for item in bom["components"]
    }
    for pair in bom["metadata"]["properties"]:
        if pair["name"] in {"runcommit:removed", "runcommit:unread"}:
            told[pair["value"]] = pair["name"].partition(":")[2]
    return told


def checked_spans(line: str) -> list[dict[str, Any]]:
    """The spans of one trace, once they are what OTLP/JSON demands."""
    (resource,) = json.loads(line)["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    spans: list[dict[str, Any]] = scope["spans"]
    assert len({span["traceId"] for span in spans}) == 1
    assert len({span["spanId"] for span in spans}) == len(spans)
    for span in spans:
        assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        assert span.get("parentSpanId", spans[0]["spanId"]) == spans[0]["spanId"]
    assert "parentSpanId" not in spans[0]
    return spans


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def names(spans: list[dict[str, Any]]) -> list[str]:
    return [span["name"].removeprefix("runcommit ") for span in spans]


# --- timing


STEPS = ["job", "load", "run", "commit", "save", "extract", "check"]


def test_a_trace_has_every_step(shop: Shop):
    assert shop.run("--no-cache", "-c", "echo x > /x").returncode == 0
    spans = shop.spans()
    assert names(spans) == STEPS
    assert all(span["status"] == {"code": 1} for span in spans)
    assert attributes(spans[2]) == {
        "runcommit.step": "run",
        "runcommit.backend": SCRATCH,
        "process.exit.code": "0",
    }
    assert attributes(spans[0])["runcommit.exit_code"] == "0"
    assert int(spans[0]["endTimeUnixNano"]) >= int(spans[-1]["endTimeUnixNano"])


def test_a_trace_of_a_job_that_fails(shop: Shop):
    assert shop.run("-c", "exit 7").returncode == 5
    spans = shop.spans()
    assert names(spans) == ["job", "load", "run"]
    assert attributes(spans[2])["process.exit.code"] == "7"
    assert [span["status"]["code"] for span in spans] == [2, 1, 2]
    assert attributes(spans[0])["runcommit.exit_code"] == "5"


def test_the_three_of_them_leave_the_cache_on(shop: Shop):
    for expected in (STEPS, ["job", "check"]):
        assert shop.run("-c", "echo x > /x").returncode == 0
        assert names(shop.spans()) == expected


# --- gate


def test_the_gate_names_every_file_and_nothing_is_written(shop: Shop):
    break_it = (
        "cp /bin/busybox /opt/tool && chmod 6755 /opt/tool && chmod 2755 /opt && "
        "chmod 4644 /opt/suid && truncate -s 100000001 /opt/large"
    )
    for run in ("is refused", "is refused from the cache as well"):
        ran = shop.run("-c", break_it)
        assert ran.returncode == 8, run
        assert ran.stderr.splitlines() == [
            "runcommit: error: the new layer breaks the policy:",
            "  /opt/large: 100000001 bytes, more than 100000000",
            "  /opt/suid: setuid (mode 4644)",
            "  /opt/tool: setuid (mode 6755)",
            "  /opt/tool: setgid (mode 6755)",
            "runcommit: tip: change the commands, or leave the files out with --exclude",
        ]
        assert not shop.layer.exists()
        assert not shop.sbom.exists()
        assert not list(shop.layer.parent.glob(".*"))
    assert names(shop.spans()) == ["job", "check"]
    assert shop.run("-p", "no:gate", "-c", "chmod 4644 /opt/suid").returncode == 0
    assert entries(shop.layer)["opt/suid"].mode == 0o4644


# --- SBOM


def test_packages_of_every_manager(shop: Shop, tmp_path: Path):
    new = tmp_path / "new"
    (new / "fresh_pkg-2.dist-info").mkdir(parents=True)
    (new / "fresh_pkg-2.dist-info/METADATA").write_text("Name: Fresh_Pkg\nVersion: 2\n\nVersion: 9")
    (new / "old-1.1.dist-info").mkdir()
    (new / "old-1.1.dist-info/METADATA").write_text("Name: Old\nVersion: 1.1\n")
    added = "\nPackage: added\nStatus: install ok installed\nArchitecture: all\nVersion: 2+b~1\n"
    half = "\nPackage: half\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 3\n"
    (new / "status").write_text(STATUS.replace("1:1.0-1", "1:1.1-1") + added + half)
    (new / "apk").write_text("P:musl\nV:1.2.4-r2\nA:x86_64\n")
    database(new / "rpm")
    bom = shop.bom(
        *("--input", f"{new}:/new", "-c", "cat /new/status > /var/lib/dpkg/status"),
        *("-c", "cat /new/apk > /lib/apk/db/installed"),
        *("-c", "mkdir -p /var/lib/rpm && cp /new/rpm/rpmdb.sqlite /var/lib/rpm"),
        *("-c", f"cd /{SITE} && rm -r old-1.0.dist-info && cp -r /new/*-info . && rm -r /venv"),
        *("-c", "echo x > /var/lib/rpm/Packages"),
    )
    assert changes(bom) == {
        "pkg:deb/debian/added@2%2Bb~1?arch=all": "added",
        "pkg:deb/debian/upgraded@1%3A1.1-1?arch=amd64": "changed from 1:1.0-1",
        "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64": "changed from 1.2.4-r1",
        "pkg:apk/debian/gone@1?arch=x86_64": "removed",
        "pkg:rpm/debian/tiny@4%3A1.2-3?arch=noarch": "added",
        "pkg:pypi/fresh-pkg@2": "added",
        "pkg:pypi/old@1.1": "changed from 1.0",
        "pkg:pypi/gone@3": "removed",
        "/var/lib/rpm/Packages": "unread",
    }


def database(folder: Path) -> None:
    """A database as rpm itself writes it, with one package."""
    folder.mkdir()
    (folder / "tiny.spec").write_text(f"{TINY}%description\nx\n%files\n")
    run = functools.partial(subprocess.run, cwd=folder, check=True, capture_output=True)
    run(["rpmbuild", "-bb", "--define", f"_topdir {folder}/top", "tiny.spec"])
    made = next(folder.rglob("*.noarch.rpm"))
    run(["rpm", "--dbpath", folder, "-i", "--justdb", "--nodeps", made])


def test_distroless_and_split(shop: Shop):
    part = "mkdir -p /var/lib/dpkg/status.d && cd /var/lib/dpkg/status.d && echo x > base.md5sums"
    write = "printf 'Package: base\\nVersion: 12\\nArchitecture: amd64\\n' > base"
    info = "Name: n\\nVersion: 1"
    python = f"cd /{SITE} && mkdir n-1.dist-info && printf '{info}' > n-1.dist-info/METADATA"
    bom = shop.bom("-c", f"{part} && {write}", "-c", python, "--split")
    assert changes(bom) == {
        "pkg:deb/debian/base@12?arch=amd64": "added",
        "pkg:pypi/n@1": "added",
    }
    assert bom["metadata"]["component"]["version"].count("sha256:") == 2


def test_no_packages_and_no_layer(shop: Shop):
    assert changes(shop.bom("-c", "echo x > /x")) == {}
    first = shop.sbom.read_bytes()
    assert changes(shop.bom("-c", "true")) == {}
    shop.bom("-c", "echo x > /x", "--no-cache")
    assert shop.sbom.read_bytes() == first


def test_a_list_that_cannot_be_written(shop: Shop):
    shop.env["RUNCOMMIT_SBOM"] = "/nowhere/bom"
    ran = shop.run("-c", "echo x > /x")
    assert ran.returncode == 2
    assert "cannot write the SBOM /nowhere/bom: No such file or directory" in ran.stderr
    assert not shop.layer.exists()


# --- on an engine


@pytest.mark.hosts("podman")
def test_on_an_engine(host: Host, shared_tmp: Path, debian_base: Base, installed: Path):
    bench = host_bench(host, shared_tmp)
    site = shutil.copytree(installed, shared_tmp / "site")
    layer, sbom, trace = (shared_tmp / name for name in ("layer.tar", "sbom", "trace"))
    env = {
        "PYTHONPATH": str(site),
        "RUNCOMMIT_SBOM": str(sbom),
        "RUNCOMMIT_TRACE": str(trace),
    }
    build = (
        "mkdir -p /tmp/p/DEBIAN && cd /tmp && printf 'Package: tiny\\nVersion: 1.2\\n"
        "Architecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' > p/DEBIAN/control && "
        "dpkg-deb -b p tiny.deb && dpkg -i tiny.deb && rm -r p tiny.deb && "
        "dpkg --purge --force-all tzdata"
    )
    ran = bench.job(debian_base.ref, "-p", "timing", "-o", layer, "-c", build, env=env)
    assert ran.returncode == 0, ran.stderr
    told = changes(checked_bom(sbom))
    (gone,) = (purl for purl in told if "/tzdata@" in purl)
    assert told == {"pkg:deb/debian/tiny@1.2?arch=all": "added", gone: "removed"}
    spans = checked_spans(trace.read_text())
    assert {"job", "load", "run", "save", "extract", "check"} <= set(names(spans))
    assert {attributes(span)["runcommit.backend"] for span in spans} == {"podman"}
    layer.unlink()
    before = bench.resources()
    ran = bench.job(debian_base.ref, "-o", layer, "-c", "chmod 4755 /bin/ls", env=env)
    assert (ran.returncode, layer.exists()) == (8, False)
    assert "/usr/bin/ls: setuid (mode 4755)" in ran.stderr
    assert bench.resources() == before
