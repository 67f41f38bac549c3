"""A request: what one job was asked for, read and checked before anything is made."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runcommit_core.errors import UsageError
from runcommit_core.interface.console import to_stderr
from runcommit_core.interface.mode import transport_mode
from runcommit_core.interface.progress import Progress, ignore, one_at_a_time
from runcommit_core.interface.values import EngineOptions
from runcommit_core.oci.compress import parse_compression
from runcommit_core.oci.config import image_config
from runcommit_core.oci.imageplace import checked_name, image_format, parse_image_place
from runcommit_core.oci.references import checked_base
from runcommit_core.oci.remotenames import REMOTE, full_name, is_remote, parse_remote_name
from runcommit_core.plugins.chosen import chosen_plugins
from runcommit_core.records import record
from runcommit_core.request.caching import caching_of
from runcommit_core.request.commands import DEFAULT_SHELL, resolve_commands
from runcommit_core.request.config_edits import config_edits
from runcommit_core.request.keywords import (
    BehaviourKeywords,
    ConfigKeywords,
    Keywords,
    LayerKeywords,
    OutputKeywords,
    Program,
    Surroundings,
)
from runcommit_core.request.layer_options import layer_options
from runcommit_core.request.names import check_image_name, check_layer_name
from runcommit_core.request.run import run_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from runcommit_core.interface.mode import Mode
    from runcommit_core.interface.values import LayerOptions
    from runcommit_core.oci.compress import LayerCompression
    from runcommit_core.oci.edits import ConfigEdits
    from runcommit_core.oci.imageplace import ImagePlace
    from runcommit_core.oci.references import Kind
    from runcommit_core.oci.remotenames import RemoteName
    from runcommit_core.plugins.loading import Plugin
    from runcommit_core.request.caching import Caching
    from runcommit_core.request.commands import Commands
    from runcommit_core.request.extraction import Extraction
    from runcommit_core.request.keywords import PathLike
    from runcommit_core.request.run import RunRequest


@record(kw_only=True)
class LayerRequest:
    """What of the changes is wanted, and how; ``epoch`` in seconds, None where none was said.

    ``exclude`` and ``clean`` are as the user said them; ``options`` hold their meaning.
    """

    options: LayerOptions
    epoch: int | None
    split: bool
    exclude: tuple[str, ...]
    clean: tuple[str, ...]


@record(kw_only=True)
class Outputs:
    """Where the results go; ``load`` is a name in the engine, ``image_words`` are the user's."""

    layer: Path | None
    images: tuple[ImagePlace, ...]
    image_words: tuple[str, ...]
    load: str | None
    push: tuple[RemoteName, ...]
    compression: LayerCompression
    metadata: Path | None
    provenance: Path | None
    extraction: Extraction | None

    @property
    def has_reports(self) -> bool:
        """Whether a report is to be written, which takes the engine's description."""
        return bool(self.metadata or self.provenance)


@record(kw_only=True)
class Behaviour:
    """By what the job is run, what is checked on the way, and who hears of it."""

    backend: str | object
    engine: EngineOptions
    mode: Mode
    platform: str | None
    plugins: tuple[Plugin, ...]
    caching: Caching
    verify: bool
    check_reproducible: bool
    keep_on_failure: bool
    shell_on_failure: bool
    keep_base: bool
    console: Callable[[bytes], None]
    progress: Progress


@record(kw_only=True)
class Request:
    """One job as it was asked for: what runs, around the run, the layer, the image, the rest.

    ``commands`` run through ``shell``, which is empty where it is the base's to say; ``through``
    gives them through another.  ``run`` holds for the run alone; ``edits`` change the image's
    config.
    """

    base: str
    commands: Commands
    shell: tuple[str, ...]
    through: Callable[[Sequence[str]], Commands]
    run: RunRequest
    layer: LayerRequest
    edits: ConfigEdits
    outputs: Outputs
    behaviour: Behaviour


def requested(
    base: PathLike, commands: str | Sequence[str] = (), **keywords: Unpack[Keywords]
) -> Request:
    """Read the keywords of ``run_commit``; nothing is made, and no engine is asked.

    Raises UsageError: what makes no sense, or names what is not there
    """
    if unknown := keywords.keys() - Keywords.__annotations__.keys():
        raise TypeError(f"there is no keyword {', '.join(sorted(unknown))}")
    shell = tuple(keywords.get("shell", ()))
    through = functools.partial(_commands, commands, _those_of(Program, keywords))
    resolved = through(shell or DEFAULT_SHELL)
    run = run_request(**_those_of(Surroundings, keywords))
    layer = _layer(**_those_of(LayerKeywords, keywords))
    edits = config_edits(**_those_of(ConfigKeywords, keywords))
    outputs = _outputs(**_those_of(OutputKeywords, keywords))
    behaviour = _behaviour(run, **_those_of(BehaviourKeywords, keywords))
    return Request(
        base=checked_base(os.fspath(base)),
        commands=resolved,
        shell=shell,
        through=through,
        run=run,
        layer=layer,
        edits=edits,
        outputs=outputs,
        behaviour=behaviour,
    )


def _those_of(group: Any, keywords: Keywords) -> Any:
    given = cast("dict[str, Any]", keywords)
    return {name: given[name] for name in group.__annotations__ if name in given}


def in_shell_of(request: Request, config: bytes) -> Request:
    """The same request in the shell of its base's config, unless it asked for one."""
    if request.shell:
        return request
    own = image_config(config).shell
    commands = request.through(own) if own else request.commands
    return dataclasses.replace(request, shell=own or DEFAULT_SHELL, commands=commands)


def _commands(commands: str | Sequence[str], asked: Program, shell: Sequence[str]) -> Commands:
    script = asked.get("script")
    return resolve_commands(
        [commands] if isinstance(commands, str) else commands,
        script=Path(script) if script is not None else None,
        argv=asked.get("argv", ()),
        shell=shell,
    )


def _layer(**asked: Unpack[LayerKeywords]) -> LayerRequest:
    exclude, clean = _listed(asked.get("exclude", ())), _listed(asked.get("clean", ()))
    options = layer_options(
        always=asked.get("always_layer", False),
        mtime=asked.get("mtime", "clamp"),
        xattrs=asked.get("xattrs", False),
        exclude=exclude,
        clean=clean,
    )
    return LayerRequest(
        options=options,
        epoch=asked.get("source_date_epoch"),
        split=asked.get("split", False),
        exclude=exclude,
        clean=clean,
    )


def _outputs(**asked: Unpack[OutputKeywords]) -> Outputs:
    load, layer = asked.get("load"), _path(asked.get("layer"))
    compression = parse_compression(asked.get("compression", "none"))
    check_layer_name(layer, compression)
    images = _places(asked.get("image"))
    return Outputs(
        layer=layer,
        images=_image_places(images, image_format(asked.get("image_format", "oci"))),
        image_words=tuple(os.fspath(each) for each in images),
        load=checked_name(load) if load is not None else None,
        push=tuple(map(_pushed, _listed(asked.get("push") or ()))),
        compression=compression,
        metadata=_path(asked.get("metadata")),
        provenance=_path(asked.get("provenance")),
        extraction=asked.get("extraction"),
    )


def _image_places(given: Sequence[PathLike], form: Kind) -> tuple[ImagePlace, ...]:
    places = tuple(parse_image_place(each, form) for each in given)
    for each, place in zip(given, places, strict=True):
        check_image_name(each, place.kind, place.path)
    return places


def _behaviour(run: RunRequest, **asked: Unpack[BehaviourKeywords]) -> Behaviour:
    plugins = chosen_plugins(asked.get("plugins", ()))
    twice = asked.get("check_reproducible", False)
    return Behaviour(
        backend=asked.get("backend", "auto"),
        engine=EngineOptions(
            path=asked.get("engine_path"), flags=tuple(asked.get("engine_flags", ()))
        ),
        mode=transport_mode(asked.get("transport", "auto")),
        platform=asked.get("platform"),
        plugins=plugins,
        caching=caching_of(
            asked.get("cache"),
            asked.get("cache_store"),
            plugins,
            run.options.network,
            runs_twice=twice,
        ),
        verify=asked.get("verify", False),
        check_reproducible=twice,
        keep_on_failure=asked.get("keep_on_failure", False),
        shell_on_failure=asked.get("shell_on_failure", False),
        keep_base=asked.get("keep_base", True),
        console=asked.get("console", to_stderr),
        progress=one_at_a_time(asked.get("progress", ignore)),
    )


def _pushed(text: str) -> RemoteName:
    name = parse_remote_name(text)
    if name.digest or not is_remote(text):
        raise UsageError(
            f"--push {text}: {'is a digest' if name.digest else 'names no registry'}",
            tip=f"write --push {REMOTE}{full_name(text.partition('@')[0].removeprefix(REMOTE))}",
        )
    return name


def _path(given: PathLike | None) -> Path | None:
    return Path(given) if given else None


def _listed(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _places(given: PathLike | Sequence[PathLike] | None) -> Sequence[PathLike]:
    if not given:
        return ()
    return [given] if isinstance(given, (str, os.PathLike)) else given
