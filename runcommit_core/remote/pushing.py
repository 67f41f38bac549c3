"""A complete image into a registry: blobs that it lacks, then the manifest under its tag.

Source: the OCI distribution specification 1.1, "Push".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from runcommit_core.engine.background import side_by_side
from runcommit_core.interface.progress import metered_stream
from runcommit_core.oci.regions import digest_of_bytes, open_region
from runcommit_core.oci.remotenames import is_remote, parse_remote_name
from runcommit_core.remote.pulling import explained
from runcommit_core.remote.repository import Repository

if TYPE_CHECKING:
    from runcommit_core.interface.progress import Progress
    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.oci.remotenames import RemoteName

_AT_ONCE = 4


def push(image: BaseImage, to: RemoteName, source: str, progress: Progress) -> None:
    """Send an image that has a manifest, and all of whose layers are files.

    ``source`` is what its base is called: a registry mounts what it has from there.

    Raises EngineError where the registry cannot be reached or refuses.
    """
    repository = Repository(to.host, to.path)
    mountable = _path_beside(to, source)

    def send(layer: BaseLayer) -> None:
        if repository.has_blob(layer.digest) or not layer.region:
            return
        if mountable and repository.mount(layer.digest, mountable):
            return
        with (
            open_region(layer.region) as stream,
            metered_stream(stream, progress, "to registry", layer.digest) as counted,
        ):
            repository.push_blob(layer.digest, counted, layer.size)

    with explained(to):
        # the config alone and first, by which we learn what the registry wants to know of us
        config = digest_of_bytes(image.config)
        if not repository.has_blob(config):
            repository.push_blob(config, image.config, len(image.config))
        different = {layer.digest: layer for layer in image.layers}
        side_by_side([functools.partial(send, layer) for layer in different.values()], _AT_ONCE)
        repository.push_manifest(to.tag, image.manifest or b"", image.manifest_media_type)


def _path_beside(name: RemoteName, source: str) -> str:
    """The repository of the same registry that ``source`` is in; empty where it is elsewhere."""
    if not is_remote(source):
        return ""
    other = parse_remote_name(source)
    return other.path if other.host == name.host and other.path != name.path else ""
