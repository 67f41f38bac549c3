"""What can be asked for: the keywords of ``run_commit`` in groups, and the keys of a job file.

The only place that lists them.  Their types are real objects, not text, so that the job file's
checks and its schema are made of them (:mod:`runcommit_core.request.jsonvalues`).
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypedDict

from runcommit_core.interface.progress import Progress
from runcommit_core.request.extraction import Extraction

PathLike = str | os.PathLike[str]


class Positional(TypedDict, total=False):
    """What comes first in a call: the base, and the commands for one shell."""

    base: PathLike
    commands: str | Sequence[str]


class Program(TypedDict, total=False):
    """What runs, unless ``commands`` are given: a script, or words; and the shell for them."""

    script: PathLike | None
    argv: Sequence[str]
    shell: Sequence[str]


class Surroundings(TypedDict, total=False):
    """What holds for the run alone, see docs/reference/run-options.md."""

    env: Mapping[str, str] | None
    env_files: Sequence[PathLike]
    user: str | None
    workdir: str | None
    network: str | None
    mounts: Sequence[str]
    secrets: Sequence[str]
    inputs: Sequence[str]
    memory: str | int | None
    cpus: str | float | None
    timeout: str | float | None
    stop_timeout: str | float | None
    run_flags: Sequence[str]


class LayerKeywords(TypedDict, total=False):
    """What of the run's changes the layer holds, and how it is written; times in seconds."""

    source_date_epoch: int | None
    always_layer: bool
    mtime: Literal["clamp", "set"]
    xattrs: bool
    exclude: str | Sequence[str]
    clean: str | Sequence[str]
    split: bool


class ConfigKeywords(TypedDict, total=False):
    """Edits of the image's config, see docs/reference/config-edits.md."""

    config_env: Mapping[str, str] | None
    entrypoint: str | Sequence[str] | None
    cmd: str | Sequence[str] | None
    labels: Mapping[str, str] | None
    annotations: Mapping[str, str] | None
    config_user: str | None
    config_workdir: str | None
    expose: str | Sequence[str]
    author: str | None
    comment: str | None


class OutputKeywords(TypedDict, total=False):
    """What is made of the layers, and where it goes; see docs/reference/outputs.md."""

    layer: PathLike | None
    image: PathLike | Sequence[PathLike] | None
    image_format: str
    load: str | None
    push: str | Sequence[str] | None
    compression: str
    metadata: PathLike | None
    provenance: PathLike | None
    extraction: Extraction | None


class BehaviourKeywords(TypedDict, total=False):
    """By what the job is run, what is checked on the way, and who hears of it."""

    backend: str | object
    engine_path: str | None
    engine_flags: Sequence[str]
    transport: str
    platform: str | None
    plugins: Iterable[str | object]
    cache: str | None
    cache_store: PathLike | None
    verify: bool
    check_reproducible: bool
    keep_on_failure: bool
    shell_on_failure: bool
    keep_base: bool
    console: Callable[[bytes], None]
    progress: Progress


class Keywords(
    Program,
    Surroundings,
    LayerKeywords,
    ConfigKeywords,
    OutputKeywords,
    BehaviourKeywords,
    total=False,
):
    """All of them."""


class ExtractKeywords(TypedDict, total=False):
    """What ``run_extract`` takes besides; ``paths`` makes a job file's job an extraction."""

    paths: str | Sequence[str]
    tar: PathLike | None
    to: PathLike | None
    places: Sequence[PathLike]


class JobFileKeys(Positional, Keywords, ExtractKeywords, total=False):
    """All that a job file may say."""

    diff_id: str
    docker_run_flags: Sequence[str]
    log: str
