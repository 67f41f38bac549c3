"""What an engine's client is told, for engines that are driven by a program alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Words = tuple[str, ...]


@record(kw_only=True)
class Client:
    """An engine's program and its verbs: the words to which names of images or containers go.

    Those that have a default are what most clients know.  ``containers`` and ``images`` list all
    names, one a line (``images`` those of a repository, if one is added; ``containers`` with labels
    after the name); ``sizes`` are for clients that tell sizes in a list alone, of all images, as
    people read them.  ``inspect`` and
    ``inspect_image`` take ``--format`` with a template of Go's.  ``commit`` takes a container and
    a name, ``tag`` two names.  ``load`` takes an archive on its standard input, ``save`` writes
    one to its standard output; ``pull`` has the user's own credentials.  ``untag`` gives the words
    that take a name away, where ``remove_image`` takes too much; ``remove_commit`` is for what the
    job committed, if not ``remove_image``.  ``ask`` runs what only asks for images, and answers
    with its output.  ``nameless`` lists the ids of images without a name, and takes filters.
    ``env`` is the environment of what moves images (``scratch_environment``), None for ours.
    """

    program: Words
    remove: Words
    remove_image: Words
    containers: Words = ("ps", "--all", "--format", "{{.Names}} {{.Labels}}")
    images: Words = ("images", "--format", "{{.Repository}}:{{.Tag}}")
    sizes: Words = ()
    nameless: Words = ("images", "--no-trunc", "--quiet", "--filter", "dangling=true")
    inspect: Words = ("container", "inspect")
    inspect_image: Words = ("image", "inspect")
    commit: Words = ("commit",)
    remove_commit: Words = ()
    kill: Words = ("kill",)
    tag: Words = ("tag",)
    load: Words = ("load", "--quiet")
    save: Words = ("save",)
    pull: Words = ("pull", "--quiet")
    untag: Callable[[str], Words] | None = None
    ask: Callable[..., str] = process.output
    env: Mapping[str, str] | None = None

    def words(self, *rest: str) -> Words:
        """The program with its flags, and then ``rest``."""
        return (*self.program, *rest)

    @property
    def look(self) -> Words:
        """The words that look at an image of the name that follows."""
        return self.words(*self.inspect_image)
