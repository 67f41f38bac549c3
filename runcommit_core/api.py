"""``run_commit`` and ``run_extract``: one job from a base image to its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import undisturbed
from runcommit_core.execute.execute import execute
from runcommit_core.interface.progress import JobFinished
from runcommit_core.plan.plan import plan
from runcommit_core.publish.publish import publish
from runcommit_core.records import record
from runcommit_core.request.extraction import extraction
from runcommit_core.request.request import requested

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Unpack

    from runcommit_core.interface.values import Result
    from runcommit_core.request.keywords import Keywords


@record
class Extracted:
    """What was written: the tar, or one place for each path; ``result`` is the run's own."""

    places: tuple[Path, ...]
    result: Result


def run_commit(
    base: str | os.PathLike[str],
    commands: str | Sequence[str] = (),
    **keywords: Unpack[Keywords],
) -> Result:
    """Run commands on ``base`` and get exactly the new layer.

    ``base`` is ``oci:PATH[:NAME]``, ``oci-archive:PATH``, ``docker-archive:PATH``, a path whose
    kind is detected, or ``engine:REF``.  All else is a keyword, in groups:

    What runs: one of ``commands`` (each through ``shell``), ``script`` and ``argv``.

    Around the run, and for it alone (docs/reference/run-options.md): ``env``, ``env_files``,
    ``user``, ``workdir``, ``network``, ``mounts`` and ``secrets`` (docker's syntax), ``inputs``
    (``SRC:DST``), ``memory``, ``cpus``, ``timeout``,
    ``stop_timeout``, ``run_flags``.

    The layer: ``source_date_epoch`` in seconds; ``mtime``, ``clamp`` (no time later than it) or
    ``set`` (all times that differ from the base's are it); ``exclude``, patterns of paths, and
    ``clean``, names of profiles, that the layer does without; ``split``, a layer for each command;
    ``xattrs``, ``always_layer``.

    The image's config (docs/reference/config-edits.md): ``config_env``, ``entrypoint``, ``cmd``,
    ``labels``, ``annotations``, ``config_user``, ``config_workdir``, ``expose``, ``author``,
    ``comment``.

    Outputs: paths for ``layer``, ``image`` (one or several, of ``image_format``), ``metadata`` and
    ``provenance``; ``load``, a name in the engine; ``compression``.  Without ``layer`` the
    result's layer has no file any more, only its facts.

    Behaviour: ``backend``, ``engine_path``, ``engine_flags``, ``transport``, ``platform``;
    ``plugins``, names or objects; ``cache`` and ``cache_store`` (docs/reference/cache.md);
    ``verify`` compares base and layer with the container's root; ``check_reproducible`` runs
    twice; of a job that fails ``keep_on_failure`` leaves the container and ``shell_on_failure``
    opens a shell in it; ``keep_base=False`` removes the private copy of the base; the command's
    output goes to ``console``, events to ``progress`` (runcommit_core.interface.progress).

    Raises the leaves of RuncommitError (see ``runcommit_core.errors``).
    """
    request = requested(base, commands, **keywords)
    with undisturbed(), CleanUp() as cleanup:
        planned = plan(request, cleanup)
        result = publish(planned, execute(planned))
    request.behaviour.progress(JobFinished(result))
    return result


def run_extract(
    base: str | os.PathLike[str],
    commands: str | Sequence[str] = (),
    *,
    paths: str | Sequence[str],
    tar: str | os.PathLike[str] | None = None,
    to: str | os.PathLike[str] | None = None,
    places: Sequence[str | os.PathLike[str]] = (),
    **keywords: Unpack[Keywords],
) -> Extracted:
    """Run commands on ``base`` and take files and directories out of what it made.

    ``paths`` are absolute in the image; symlinks on their way, the last component included, are
    followed inside it, links below a directory stay links.  One of three says where they go:

    ``tar``
        a tar with owners, modes and extended attributes, each path under its base name
    ``to``
        a directory, made if its parent is there, that takes each path under its base name
    ``places``
        for each path, exactly where it goes

    In place, files belong to the caller, set-id bits that would lend his ids are dropped and
    devices left out; existing files are replaced and existing directories entered.  Nothing is
    written unless all was found.  ``keywords`` are those of
    :func:`~runcommit_core.run_commit`.

    Raises UsageError: the result has no such path, or a place cannot be written
    """
    asked = extraction(paths, tar=tar, to=to, places=places)
    result = run_commit(base, commands, **keywords | {"extraction": asked})
    return Extracted(asked.written, result)
