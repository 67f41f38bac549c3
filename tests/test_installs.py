"""Real installs from Debian's archive: one layer from three engines and on two days."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.bench import entries
from tests.run_folder import agree
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from tests.bases import Base
    from tests.hosts import Host

SCRIPT = """\
#!/bin/sh -e
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Check-Valid-Until=false \\
    -o Acquire::https::CAInfo=/host/certs/ca-certificates.crt \\
    -o Dir::Etc::sourcelist=/host/apt/sources.list \\
    -o Dir::Etc::sourceparts=/host/apt/sources.list.d "$@" >/dev/null
}
apt update
apt install -y --no-install-recommends redis-server python3-pip
pip install --break-system-packages --no-index -q /host/wheels/*.whl
"""
CLEAN = ("--clean", "apt,pip,python,ldconfig,logs,machine-id")
TWO_DAYS_LATER = (
    *("-e", "LD_PRELOAD=/host/faketime/libfaketime.so.1", "-e", "FAKETIME=+2d"),
    *("-e", "DONT_FAKE_MONOTONIC=1"),
)


# long enough to be a row of their own
@pytest.mark.lane("installs")
@pytest.mark.hosts("docker", "podman", "buildah", "native")
def test_an_install_is_one_layer(host: Host, shared_tmp: Path, debian_base: Base) -> None:
    bench = host_bench(host, shared_tmp)
    script, layer = shared_tmp / "install.sh", shared_tmp / "layer.tar"
    script.write_text(SCRIPT)
    write_wheel(shared_tmp / "wheels")
    options = ("--network", "host", *mounts(host, shared_tmp), *CLEAN)
    for clock in ((), TWO_DAYS_LATER):
        ran = bench.run(
            *("run", "-b", host.backend, *options, *clock),
            *(debian_base.ref, "--script", script, "-o", layer),
        )
        agree("installs, whatever the clock", ran.diff_id)
        found = entries(layer)
        assert found["usr/bin/redis-server"].issym()
        assert any(name.endswith("dist-packages/tiny.py") for name in found)
        assert found["var/lib/dpkg/status"].isreg()
        traces = ("var/log/apt/", "host", "etc/resolv.conf", "etc/hosts")
        assert not any(name.startswith(traces) for name in found)


def mounts(host: Host, folder: Path) -> tuple[str, ...]:
    places = {
        "/etc/apt": "/host/apt",
        "/etc/ssl/certs": "/host/certs",
        str(folder / "wheels"): "/host/wheels",
        str(next(Path("/usr/lib").glob("*/faketime"))): "/host/faketime",
    }
    if host.backend != "docker":
        places |= {name: name for name in ("/etc/resolv.conf", "/etc/hosts")}
    return tuple(
        word for source, target in places.items() for word in ("--input", f"{source}:{target}")
    )


def write_wheel(folder: Path) -> None:
    """Write a wheel of one module."""
    folder.mkdir()
    files = {
        "tiny.py": b"ANSWER = 42\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    record = io.StringIO()
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.write(f"{name},sha256={digest},{len(data)}\n")
    record.write("tiny-1.0.dist-info/RECORD,,\n")
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr("tiny-1.0.dist-info/RECORD", record.getvalue())
