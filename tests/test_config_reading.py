"""A base's config is read once or twice in a job, whatever the job does with it."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import run_commit
from runcommit_core.oci.platforms import host_platform
from runcommit_core.testing import bases, scratch
from tests import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST = 1


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def image(tmp_path: Path, machine: None) -> images.Image:
    """An image of the test's own, whose config no other test has read."""
    layers = (bases.busybox_layer(), images.layer({"own": str(tmp_path).encode()}))
    return images.image(*layers, settings={"Env": ["PATH=/bin"], "User": "root"})


@pytest.fixture
def parses(image: images.Image, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one whenever somebody parses the base's config."""
    found: list[str] = []
    parse = json.loads

    def counting(text: str | bytes, **options: Any) -> Any:
        if (text.encode() if isinstance(text, str) else bytes(text)) == image.config:
            found.append("".join(traceback.format_stack(limit=9)[:-4]))
        return parse(text, **options)

    monkeypatch.setattr(json, "loads", counting)
    return found


FORMS: dict[str, Callable[[Path, images.Image], str]] = {
    "oci": lambda place, image: f"oci:{images.write_directory(place, images.oci_files(image))}",
    "oci-archive": lambda place, image: (
        f"oci-archive:{images.write_archive(place, images.oci_files(image))}"
    ),
    "docker-archive": lambda place, image: (
        f"docker-archive:{images.write_archive(place, images.podman_files(image))}"
    ),
}
JOBS: dict[str, dict[str, Any]] = {
    "a layer": {"layer": "layer.tar"},
    "an image": {"image": "image", "layer": "layer.tar"},
    "an edited image": {"image": "image", "config_env": {"A": "b"}, "metadata": "metadata"},
    "a platform": {"layer": "layer.tar", "platform": str(host_platform())},
    "several layers": {"layer": "layer.tar", "split": True, "image": "image"},
    "compared": {"layer": "layer.tar", "verify": True, "check_reproducible": True},
}
PLACES = ("layer", "image", "metadata")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("asked", JOBS)
def test_the_config_is_parsed_twice_at_most(
    tmp_path: Path, image: images.Image, parses: list[str], form: str, asked: str
):
    base = FORMS[form](tmp_path / "base", image)
    places = {name: tmp_path / f"the {name}" for name in PLACES if name in JOBS[asked]}
    result = run_commit(
        base,
        ["echo new > /new", "echo newer > /newer"],
        backend=scratch,
        cache="off",
        console=lambda _: None,
        **JOBS[asked] | places,
    )
    assert result.layers
    assert 1 <= len(parses) <= MOST, "\n".join(parses)
