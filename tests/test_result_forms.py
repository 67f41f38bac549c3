"""Every form of a result, read by the tools that it is made for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.testing import bases
from runcommit_core.testing.bench import image_config
from tests import images
from tests.test_backends import REMOVE, host_bench, run_on

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.testing import Bench
    from tests.hosts import Host

NAME = "localhost/forms-test/result:v1"
SETTINGS = {"Env": ["PATH=/bin", "GREETING=hello"], "Labels": {"kept": "yes"}}
JOB = ("-c", "echo new > /data/added", "--config-env", "PLACE=/data", "--config-workdir", "/data")
ENTRY = ("--entrypoint", '["/bin/sh", "-c"]', "--cmd", '["echo $GREETING; pwd; cat added"]')
SAID = "hello\n/data\nnew\n"


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


def written(bench: Bench, *options: str | Path, base: str = "") -> dict[str, Any]:
    """Run the job with these outputs; its report."""
    report = bench.folder / "report.json"
    base = base or bases.busybox(bench.folder / "base", SETTINGS).ref
    assert bench.job(base, *JOB, *ENTRY, *options, "--metadata", report).diff_id
    found: dict[str, Any] = json.loads(report.read_bytes())
    return found


def runs(host: Host, name: str = NAME) -> None:
    try:
        assert run_on(host, name) == SAID
    finally:
        host.run(*REMOVE[host.backend], name)


@pytest.mark.hosts("docker")
@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_docker_loads_archives(host: Host, bench: Bench, form: str) -> None:
    place = bench.folder / "image.tar"
    written(bench, "--image", f"{form}:{place}:{NAME}", "--compression", "gzip")
    assert NAME in host.run("docker", "load", "--input", place).stdout
    runs(host)


@pytest.mark.hosts("docker")
def test_docker_loads_what_is_zstd_all_over(host: Host, bench: Bench) -> None:
    layers = [bases.busybox_layer(), bases.file_layer("data/zstd", b"zstd")]
    image = images.image(*layers, compression="zstd", settings=SETTINGS)
    images.write_directory(bench.folder / "base", images.oci_files(image))
    place = bench.folder / "image.tar"
    base = f"oci:{bench.folder / 'base'}"
    written(bench, "--image", f"docker-archive:{place}:{NAME}", "--compression", "zstd", base=base)
    host.run("docker", "load", "--input", place)
    runs(host)


@pytest.mark.hosts("podman", "podman-rootless")
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_podman_reads_every_form(host: Host, bench: Bench, compression: str) -> None:
    forms = {form: bench.folder / form for form in ("oci", "oci-archive", "docker-archive")}
    places = (word for form, path in forms.items() for word in ("--image", f"{form}:{path}:{NAME}"))
    told = written(bench, *places, "--compression", compression)
    for form in ("oci-archive", "docker-archive"):
        assert NAME in host.run("podman", "load", "--quiet", "--input", forms[form]).stdout
        runs(host)
    for image in told["images"]:
        reference = f"{image['form']}:{image['path']}:{NAME}"
        pulled = host.run("podman", "pull", "--quiet", reference).stdout.strip()
        assert pulled == image["config_digest"].removeprefix("sha256:")
        runs(host, pulled)


@pytest.mark.hosts("buildah", "buildah-rootless")
def test_buildah_reads_archives(host: Host, bench: Bench) -> None:
    place = bench.folder / "image.tar"
    base = bases.busybox(bench.folder / "base", SETTINGS).ref
    for form, compression in (("oci-archive", "zstd"), ("docker-archive", "none")):
        image = f"{form}:{place}:{NAME}"
        written(bench, "--image", image, "--compression", compression, base=base)
        runs(host, host.run("buildah", "pull", "--quiet", image).stdout.strip())
        place.unlink()


@pytest.mark.hosts("podman")
def test_tools_without_an_engine_read_every_form(host: Host, bench: Bench) -> None:
    forms = {form: bench.folder / form for form in ("oci", "oci-archive", "docker-archive")}
    places = (word for form, path in forms.items() for word in ("--image", f"{form}:{path}:{NAME}"))
    told = written(bench, *places, "--compression", "gzip", "--annotation", "made.for=tests")
    for image in told["images"]:
        reference = f"{image['form']}:{image['path']}:{NAME}"
        raw = json.loads(host.run("skopeo", "inspect", "--raw", reference).stdout)
        config = json.loads(host.run("skopeo", "inspect", "--config", reference).stdout)
        assert config == image_config(forms["oci"])
        assert (image["form"] == "docker-archive") is ("annotations" not in raw)
        copy = bench.folder / f"copy-{image['form']}"
        host.run("skopeo", "copy", "--quiet", reference, f"dir:{copy}")
        if image["manifest_digest"]:
            found = host.run("skopeo", "manifest-digest", copy / "manifest.json").stdout.strip()
            assert found == image["manifest_digest"]
    host.run("umoci", "unpack", "--image", f"{forms['oci']}:{NAME}", bench.folder / "unpacked")
    assert (bench.folder / "unpacked/rootfs/data/added").read_text() == "new\n"
    assert (bench.folder / "unpacked/rootfs/data/kept").read_text() == "kept"


@pytest.mark.hosts("docker", "podman-rootless", "buildah")
def test_a_loaded_image_takes_over_its_name(host: Host, bench: Bench) -> None:
    base = bases.busybox(bench.folder / "base", SETTINGS).ref
    inspect = (host.backend, "inspect", "--type=image", NAME)
    assert bench.job(base, *JOB, "--load", NAME).diff_id
    try:
        before = host.run(*inspect).stdout
        failed = bench.job(base, "-c", "false", "--load", NAME)
        assert failed.returncode == 5
        assert host.run(*inspect).stdout == before
        report = bench.folder / "report.json"
        options = ("--transport", "archive", "--load", NAME, "--metadata", report)
        assert bench.job(base, *JOB, *ENTRY, *options).diff_id
        told = json.loads(report.read_bytes())["loaded"]
        assert told["name"] == NAME
        assert told["config_digest"].removeprefix("sha256:") in host.run(*inspect).stdout
        old = json.loads(before)
        dangling = old[0]["Id"] if isinstance(old, list) else old["FromImageID"]
        host.run(*REMOVE[host.backend], dangling)
    finally:
        runs(host)


@pytest.mark.hosts("docker", "podman")
def test_dockers_schema_stays_and_is_loaded(host: Host, bench: Bench) -> None:
    image = images.image(bases.busybox_layer(), compression="gzip", settings=SETTINGS)
    files = images.oci_files(image, docker_types=True)
    base = f"oci:{images.write_directory(bench.folder / 'base', files)}"
    place = bench.folder / "image"
    written(bench, "--image", place, "--load", NAME, "--compression", "gzip", base=base)
    raw = json.loads(host.run("skopeo", "inspect", "--raw", f"oci:{place}").stdout)
    assert raw["mediaType"] == images.DOCKER_MANIFEST
    types = {layer["mediaType"] for layer in raw["layers"]}
    assert types == {f"{images.DOCKER_LAYER}.gzip"}
    runs(host)
    refused = bench.job(base, *JOB, "--annotation", "a=b", "--load", NAME)
    assert refused.returncode == 2
    assert "has no annotations" in refused.stderr
