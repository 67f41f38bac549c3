"""The core's ``extract`` step: from what the engine saved to the one canonical layer."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from runcommit_core.errors import BackendContractError
from runcommit_core.index.basetree import with_tree
from runcommit_core.interface.progress import metered_stream
from runcommit_core.interface.values import Layer, Layers, RawLayer
from runcommit_core.layer.canonical import LayerReport, canonicalise
from runcommit_core.layer.changes import Sockets, TarChanges
from runcommit_core.layer.markers import check_markers
from runcommit_core.layer.upper import UpperChanges
from runcommit_core.steps.policy import policy

if TYPE_CHECKING:
    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import SavedImage
    from runcommit_core.layer.changes import Changes
    from runcommit_core.tar.digests import DiffId


def extract_layers(job: Job, saved: SavedImage) -> Layers:
    """Merge the raw new layers into one canonical layer, written to ``job.output``.

    Raises ArchiveError for a raw layer that cannot be, BackendContractError for an image that
    does not stand on the base.
    """
    raw_layers = new_layers(job, saved)
    if not (raw_layers or saved.upper or saved.sockets or job.layer.always):
        return Layers(warnings=saved.warnings)
    report = with_tree(job.tree, lambda tree: _write(job, tree, raw_layers, saved))
    warnings = (*saved.warnings, *report.warnings)
    if report.diff_id is None:
        job.output.unlink()
        return Layers(warnings=warnings)
    layer = Layer(job.output, report.diff_id, report.size, report)
    return Layers((layer,), warnings)


def _write(job: Job, tree: BaseTree, raw_layers: list[RawLayer], saved: SavedImage) -> LayerReport:
    with contextlib.ExitStack() as stack:
        tars = [
            stack.enter_context(TarChanges(raw.open, name=f"the engine's layer {raw.diff_id[:19]}"))
            for raw in raw_layers
        ]
        pairs = zip(raw_layers, tars, strict=True)
        check_markers([tar for raw, tar in pairs if not raw.is_ours], tree)
        changes: list[Changes] = [*tars]
        if saved.upper:
            changes.append(UpperChanges(saved.upper))
        if saved.sockets:
            changes.append(Sockets(saved.sockets))
        file = stack.enter_context(job.output.open("wb"))
        output = stack.enter_context(metered_stream(file, job.progress, "layer", "layer"))
        return canonicalise(tree, changes, policy(job.layer, tree, changes), output)


def new_layers(job: Job, saved: SavedImage) -> list[RawLayer]:
    """The layers that come after the base's; none where the engine saw no change.

    What the private copy has above the base comes first, unless the root as a whole was compared
    with the base.

    Raises BackendContractError when the image does not start with the base's layers, or when a
    new layer's bytes are missing.
    """
    made, added = _above(job, saved.diff_ids)
    at_hand = {layer.diff_id: layer for layer in saved.layers}
    return [*made, *(at_hand.get(diff_id) or _like_the_base(job, diff_id) for diff_id in added)]


def _above(
    job: Job, diff_ids: tuple[DiffId, ...]
) -> tuple[tuple[RawLayer, ...], tuple[DiffId, ...]]:
    """What was made above the base before the run, and what came after."""
    whole: tuple[RawLayer, ...] = ()
    for below, made in ((job.transport.diff_ids, job.made), (job.base.diff_ids, whole)):
        if diff_ids[: len(below)] == below:
            return made, diff_ids[len(below) :]
    raise BackendContractError(
        f"the committed image does not stand on the base {job.base.name}: "
        f"its layers begin with {', '.join(diff_ids[: len(job.base.layers)]) or 'nothing'}"
    )


def _like_the_base(job: Job, diff_id: DiffId) -> RawLayer:
    """A new layer that equals one of the base's: the engine had no reason to send it."""
    from runcommit_core.oci.regions import open_layer

    like = next((layer for layer in job.base.layers if layer.diff_id == diff_id), None)
    if like is None:
        raise BackendContractError(f"the backend saved no bytes for the new layer {diff_id}")
    path = job.folder / "like-the-base.tar"
    with open_layer(job.locate(like)) as stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    return RawLayer(diff_id, lambda: path.open("rb"))
