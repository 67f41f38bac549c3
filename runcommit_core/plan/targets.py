"""Where the outputs of a job go, checked before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.oci.references import Kind
from runcommit_core.records import record

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.oci.imageplace import ImagePlace
    from runcommit_core.request.request import Outputs
    from runcommit_core.staging import Staging


@record(kw_only=True)
class Targets:
    """The staged path of each output, where one was asked for; ``images`` beside their places."""

    staged: Staging
    layer_file: Path | None
    report: Path | None
    provenance: Path | None
    images: tuple[tuple[ImagePlace, Path], ...]


def open_targets(staged: Staging, outputs: Outputs) -> Targets:
    """Raise UsageError for a place that cannot be written."""
    return Targets(
        staged=staged,
        layer_file=staged.beside(outputs.layer) if outputs.layer else None,
        report=staged.beside(outputs.metadata) if outputs.metadata else None,
        provenance=staged.beside(outputs.provenance) if outputs.provenance else None,
        images=tuple((place, _staged(place, staged)) for place in outputs.images),
    )


def _staged(place: ImagePlace, staged: Staging) -> Path:
    if place.kind is not Kind.OCI:
        return staged.beside(place.path)
    from runcommit_core.oci.output import check_replaceable

    return staged.folder(place.path, check_replaceable)
