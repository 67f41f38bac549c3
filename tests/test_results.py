"""What comes out on real engines: images that run, bases in every form, results that agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from runcommit_core.testing.bench import content, entries, image_config
from tests import images
from tests.run_folder import agree
from tests.test_backends import CACHED, host_bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts import Host

COMMAND = ("-c", "echo new > /data/added; rm -r /data/tree; chmod 700 /data/kept")
EXPECTED = {"data", "data/.wh.tree", "data/added", "data/kept"}
SETTINGS = {
    "Env": ["PATH=/bin", "GREETING=hello from the base"],
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["echo $GREETING; cat /data/added; test ! -e /data/tree && pwd"],
    "WorkingDir": "/tmp",
    "Labels": {"kept": "yes"},
}
SAID = "hello from the base\nnew\n/tmp\n"


@pytest.fixture
def ready(host: Host, shared_tmp: Path) -> Iterator[Path]:
    """An image written by a job of this host."""
    bench = host_bench(host, shared_tmp)
    base = bases.busybox(shared_tmp / "base", SETTINGS)
    image = shared_tmp / "image"
    assert bench.job(base.ref, *COMMAND, "--image", image).diff_id
    config = image_config(image)
    assert {**config["config"]} == dict(base.config["config"])
    return image


@pytest.mark.hosts(backend="docker")
def test_docker_runs_the_image(host: Host, ready: Path) -> None:
    name = "results-test:docker"
    to = ("--dest-daemon-host", host.env["DOCKER_HOST"])
    host.run("skopeo", "copy", *to, f"oci:{ready}", f"docker-daemon:{name}")
    try:
        assert host.run("docker", "run", "--rm", "--network=none", name).stdout == SAID
    finally:
        host.run("docker", "rmi", name)


@pytest.mark.hosts(backend="podman")
def test_podman_runs_the_image(host: Host, ready: Path) -> None:
    image = host.run("podman", "pull", "--quiet", f"oci:{ready}").stdout.strip()
    try:
        assert host.run("podman", "run", "--rm", "--network=none", image).stdout == SAID
    finally:
        host.run("podman", "rmi", image)


@pytest.mark.hosts(backend="buildah")
def test_buildah_runs_the_image(host: Host, ready: Path) -> None:
    container = host.run("buildah", "from", f"oci:{ready}").stdout.strip()
    image = host.run("buildah", "inspect", "--format", "{{.FromImageID}}", container).stdout.strip()
    try:
        command = ("/bin/sh", "-c", SETTINGS["Cmd"][0])
        said = host.run("buildah", "run", "--network=host", container, "--", *command)
        assert said.stdout == SAID
    finally:
        host.run("buildah", "rm", container)
        host.run("buildah", "rmi", image)


def layers() -> list[bytes]:
    unique = bases.file_layer("data/added", b"of the upper layer")
    return [bases.busybox_layer(), unique, bases.busybox_layer()]


FORMS: dict[str, Callable[[Path], str]] = {}


def form(make: Callable[[Path], str]) -> Callable[[Path], str]:
    FORMS[make.__name__] = make
    return make


def image_of(compression: str = "none") -> images.Image:
    return images.image(*layers(), compression=compression)


@form
def plain_layout(folder: Path) -> str:
    images.write_directory(folder / "base", images.oci_files(image_of()))
    return f"oci:{folder / 'base'}"


@form
def gzip_layout(folder: Path) -> str:
    images.write_directory(folder / "base", images.oci_files(image_of("gzip")))
    return str(folder / "base")


@form
def zstd_layout(folder: Path) -> str:
    images.write_directory(folder / "base", images.oci_files(image_of("zstd")))
    return str(folder / "base")


@form
def oci_archive(folder: Path) -> str:
    images.write_archive(folder / "base.tar", images.oci_files(image_of("gzip")))
    return str(folder / "base.tar")


@form
def legacy_docker_archive(folder: Path) -> str:
    images.write_archive(folder / "base.tar", images.legacy_files(image_of()))
    return f"docker-archive:{folder / 'base.tar'}"


@form
def oci_load_archive(folder: Path) -> str:
    images.write_archive(folder / "base.tar", images.oci_load_files(image_of("gzip")))
    return str(folder / "base.tar")


@pytest.mark.hosts("docker", "podman-rootless", "buildah")
@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_base_gives_one_layer(host: Host, shared_tmp: Path, name: str) -> None:
    bench = host_bench(host, shared_tmp)
    for transport in ("auto", "archive"):
        ran = bench.job(FORMS[name](shared_tmp), *COMMAND, "--transport", transport)
        agree("results, forms", ran.diff_id)


def cheapest(host: Host) -> str:
    """How the result travels when nobody says how: see the backends' READMEs."""
    return "root" if host.naive else "upper"


def test_the_cheapest_way_is_taken(host: Host, shared_tmp: Path, busybox_base: bases.Base) -> None:
    told = shared_tmp / "metadata.json"
    ran = host_bench(host, shared_tmp).job(busybox_base.ref, *COMMAND, "--metadata", told)
    agree("results, ways", ran.diff_id)
    assert json.loads(told.read_bytes())["transport"] == cheapest(host)


@pytest.mark.hosts("podman-rootless", "buildah-rootless")
def test_another_way_is_taken_where_the_cheapest_fails(
    host: Host, shared_tmp: Path, busybox_base: bases.Base
) -> None:
    told, program = shared_tmp / "metadata.json", shared_tmp / host.program
    program.write_text(f'#!/bin/sh\ntest "$1" != unshare && exec {host.program} "$@"\n')
    program.chmod(0o755)
    options = ("--engine-path", program, "--metadata", told)
    ran = host_bench(host, shared_tmp).job(busybox_base.ref, *COMMAND, *options)
    agree("results, ways", ran.diff_id)
    failed = f"{host.program} unshare failed with exit code 1"
    assert f"so committing them: {failed}" in ran.stderr
    assert json.loads(told.read_bytes())["transport"] == "registry"


REMOVE_CACHES = {
    name: f"{name} images --quiet --filter reference={CACHED}* | xargs {name} rmi --force"
    for name in ("docker", "podman", "buildah")
}
REMOVE = {
    name: (name, "rmi", *(("--no-prune",) if name == "docker" else ()))
    for name in ("docker", "podman", "buildah")
}


@pytest.mark.hosts(naive=False)
def test_a_base_that_only_the_engine_has(host: Host, shared_tmp: Path) -> None:
    bench = host_bench(host, shared_tmp)
    own = bases.write_layout(
        shared_tmp / "own", [bases.busybox_layer(), bases.file_layer("etc/own", b"own")], SETTINGS
    )
    name = "localhost/results-test:engine"
    copy = ("skopeo", "copy", f"oci:{own.path}:{bases.NAME}")
    if host.backend == "docker":
        to = ("--dest-daemon-host", host.env["DOCKER_HOST"], f"docker-daemon:{name}")
        host.run(*copy, *to)
    else:
        host.run("buildah", "pull", "--quiet", own.ref)
        found = host.run("buildah", "images", "--quiet", "--no-trunc").stdout.split()[0]
        host.run("buildah", "tag", found.removeprefix("sha256:"), name)
    try:
        for transport in ("auto", "registry", "archive", "auto"):
            image = shared_tmp / f"image-{transport}"
            options = ("--transport", transport, "--image", image)
            agree("results, engine", bench.job(f"engine:{name}", *COMMAND, *options).diff_id)
            config = image_config(image)
            assert config["config"]["Labels"] == SETTINGS["Labels"]
            assert config["rootfs"]["diff_ids"][:2] == list(own.diff_ids)
            host.run("sh", "-c", REMOVE_CACHES[host.backend])
    finally:
        host.run(*REMOVE[host.backend], name)


def test_an_image_that_the_engine_cannot_find(host: Host, shared_tmp: Path) -> None:
    ran = host_bench(host, shared_tmp).job("engine:127.0.0.1:9/no/such:image", "-c", "true")
    assert ran.returncode == 4, ran.stderr
    assert "127.0.0.1:9/no/such:image" in ran.stderr


def test_a_workdir_of_the_bases_that_is_not_there(host: Host, shared_tmp: Path) -> None:
    bench = host_bench(host, shared_tmp)
    base = bases.busybox(shared_tmp / "base", {"Env": ["PATH=/bin"], "WorkingDir": "/opt/app"})
    layer = shared_tmp / "layer.tar"
    agree("results, workdir", bench.job(base.ref, "-c", "pwd > out", "-o", layer).diff_id)
    assert set(entries(layer)) == {"opt", "opt/app", "opt/app/out"}
    assert content(layer, "opt/app/out") == b"/opt/app\n"


def test_a_workdir_on_demand_that_is_not_there(host: Host, shared_tmp: Path) -> None:
    bench = host_bench(host, shared_tmp)
    base = bases.busybox(shared_tmp / "base")
    ran = bench.job(base.ref, "-w", "/opt/new", "-c", "pwd > out")
    agree("results, new workdir", ran.diff_id)


def test_backends_says_what_is_usable(host: Host) -> None:
    listed = json.loads(host.runcommit("backends", "--json").stdout)
    mine = next(item for item in listed if item["name"] == host.backend)
    assert mine["usable"], mine["problem"]
    assert mine["rootless"] is host.rootless
    assert mine["storage"] == host.spec.driver
