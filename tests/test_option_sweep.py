"""Options that no other test gives to every host: one job with all of them, one effect each."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

from runcommit_core.oci.platforms import host_platform
from runcommit_core.testing import bases
from runcommit_core.testing.bench import entries
from tests.run_folder import agree
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

EPOCH = 1_234_567_890
WORDS = (
    *("--shell", "/bin/sh -uc", "--engine-flag", "--log-level=error"),
    *("--source-date-epoch", str(EPOCH), "--mtime", "set", "--xattrs"),
    *("--author", "somebody", "--comment", "for a reason", "--annotation", "key=value"),
    *("--config-user", "1000:1000", "--config-env", "MORE=$PATH:/more"),
    *("--format", "oci-archive", "--quiet", "--plugin", "no:none", "--stop-timeout", "3s"),
)


def test_each_option_has_its_effect(host: Host, shared_tmp: Path):
    bench = host_bench(host, shared_tmp)
    base = bases.busybox(bench.folder / "base", {"Env": ["PATH=/bin"]})
    layer, image, statement = (bench.folder / name for name in ("layer", "image", "statement"))
    store = bench.folder / "store"
    host.run("mkdir", store)
    network = ("--network", "none") if host.spec.isolation != "chroot" else ()
    done = host.runcommit(
        "run", *WORDS, *network, "--platform", str(host_platform()), base.ref,
        "-c", "echo new > /data/added; touch -d @99 /data/old", "-o", layer, "--image", image,
        "--provenance", statement, "--cache", "always", "--cache-store", store,
        env={"RUNCOMMIT_CACHE_DIR": str(bench.folder / "cache")},
    )  # fmt: skip
    assert done.stderr == ""
    diff_id = done.stdout.strip()
    agree("option sweep", diff_id)
    assert {entry.mtime for name, entry in entries(layer).items() if name != "data"} == {EPOCH}
    manifest, config = contents(image)
    assert manifest["annotations"]["key"] == "value"
    assert config["config"]["User"] == "1000:1000"
    assert "MORE=/bin:/more" in config["config"]["Env"]
    assert config["author"] == "somebody"
    assert "for a reason" in {item.get("comment") for item in config["history"]}
    subjects = json.loads(statement.read_bytes())["subject"]
    assert diff_id.removeprefix("sha256:") in {item["digest"]["sha256"] for item in subjects}
    assert any(path.is_file() for path in store.rglob("*")), "nothing is in the shared cache"


def test_a_shell_that_minds_unset_variables(host: Host, shared_tmp: Path):
    bench = host_bench(host, shared_tmp)
    base = bases.busybox(bench.folder / "base", {"Env": ["PATH=/bin"]})
    network = ("--network", "none") if host.spec.isolation != "chroot" else ()
    done = host.runcommit(
        "run", *network, "--shell", "/bin/sh -uc", base.ref, "-c", "echo $NOT_SET", check=False
    )
    assert done.returncode == 5, done.stderr
    assert "NOT_SET" in done.stderr


def contents(archive: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and config in an OCI archive."""
    with tarfile.open(archive) as tar:

        def document(name: str) -> dict[str, Any]:
            file = tar.extractfile(name)
            assert file
            found: dict[str, Any] = json.load(file)
            return found

        def blob(descriptor: dict[str, Any]) -> dict[str, Any]:
            return document(f"blobs/{descriptor['digest'].replace(':', '/')}")

        manifest = blob(document("index.json")["manifests"][0])
        return manifest, blob(manifest["config"])
