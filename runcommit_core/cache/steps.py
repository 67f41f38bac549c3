"""The steps of a job, or what they gave the last time."""

from __future__ import annotations

import functools
import logging
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from runcommit_core.cache.key import result_key, why_not_hermetic
from runcommit_core.errors import ArchiveError
from runcommit_core.interface.progress import CacheLookup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runcommit_core.cache.entry import Entry
    from runcommit_core.cache.store import Store, Stored
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layers
    from runcommit_core.request.commands import Commands

log = logging.getLogger("runcommit")

Outcome = Literal["hit", "miss", "off"]
RunSteps = Callable[["Job", "Commands"], "Layers"]


class CachedSteps:
    """Runs the steps of a job unless a store has their result, and keeps what they gave.

    ``stores`` are asked in their order; the first is the user's own.  Where ``reads`` is false,
    results are kept but never taken.  ``entry`` is the last result that was taken.
    """

    def __init__(
        self,
        run_steps: RunSteps,
        stores: Sequence[Store],
        *,
        hermetic: bool,
        reads: bool,
        backend: Callable[[], str],
        facts: Callable[[], dict[str, str]],
    ) -> None:
        self._run_steps = run_steps
        self._stores = list(stores)
        self._hermetic = hermetic
        self._reads = reads
        self._backend = backend
        self._facts = facts
        self.outcome: Outcome = "off"
        self.entry: Entry | None = None
        self.seconds = 0.0

    def __call__(self, job: Job, todo: Commands) -> Layers:
        """The new layers of a job."""
        if reason := why_not_hermetic(job) if self._hermetic else "":
            log.info("no use of the cache: %s (--cache always uses it)", reason)
            return self._run_steps(job, todo)
        started = time.monotonic()
        key = result_key(job, self._backend)
        found = self._take(key, job) if self._reads else None
        job.progress(CacheLookup(key, found is not None))
        if found is not None:
            self.outcome = "hit" if self.outcome != "miss" else "miss"
            self.seconds += time.monotonic() - started
            return found
        self.outcome = "miss"
        started = time.monotonic()
        layers = self._run_steps(job, todo)
        self._keep(key, job, todo, layers, time.monotonic() - started)
        return layers

    def _take(self, key: str, job: Job) -> Layers | None:
        from runcommit_core.cache.entry import unpack, unpack_record
        from runcommit_core.cache.untrusted import DamagedEntryError

        for number, store in enumerate(tuple(self._stores)):
            try:
                stored = store.get(key, job.folder)
                if stored is None:
                    continue
                entry = unpack_record(stored.record, key)
                layers = unpack(entry, stored.layer, job.output)
            except (DamagedEntryError, ArchiveError) as error:
                log.warning(
                    "a result in the cache %s is damaged, removing it: %s", store.name, error
                )
                self._quietly(store, functools.partial(store.remove, key))
            except OSError as error:
                self._give_up(store, error)
            else:
                log.info("the result comes from the cache %s", store.name)
                self.entry = entry
                job.transport.used = "cache"
                if number and store is not self._stores[0]:
                    self._put(self._stores[0], key, stored.record, _copy_of(stored))
                return layers
        return None

    def _keep(self, key: str, job: Job, todo: Commands, layers: Layers, seconds: float) -> None:
        from runcommit_core.cache.entry import compress, new_entry, pack_record
        from runcommit_core.cache.store import LARGEST_RECORD

        entry = new_entry(
            key,
            layers,
            commands=todo.history,
            transport=job.transport.used,
            seconds=seconds,
            **self._facts(),
        )
        record = pack_record(entry)
        if len(record) > LARGEST_RECORD:
            log.info("the record of the result is too large for a cache; not kept")
            return
        tar = layers.layers[0].path if layers.layers else None
        compressed = job.folder / "layer.tar.zst"

        def write_layer(place: Path) -> None:
            """Compress once, however many stores there are."""
            if tar and not compressed.exists():
                compress(tar, compressed)
            _copy(compressed, place)

        for store in tuple(self._stores):
            self._put(store, key, record, write_layer if tar else None)
        compressed.unlink(missing_ok=True)

    def _put(
        self, store: Store, key: str, record: bytes, write: Callable[[Path], None] | None
    ) -> None:
        self._quietly(store, functools.partial(store.put, key, record, write))

    def _quietly(self, store: Store, do: Callable[[], None]) -> None:
        from runcommit_core.cache.untrusted import DamagedEntryError

        try:
            do()
        except OSError as error:
            self._give_up(store, error)
        except DamagedEntryError as error:
            log.warning("a result was not copied to the cache %s: %s", store.name, error)

    def _give_up(self, store: Store, error: OSError) -> None:
        """A store that fails is asked no more, and never fails the job."""
        log.warning("cannot use the cache %s: %s", store.name, error)
        self._stores.remove(store)


def _copy_of(stored: Stored) -> Callable[[Path], None] | None:
    layer = stored.layer
    return None if layer is None else lambda place: _copy(layer, place)


def _copy(source: Path, place: Path) -> None:
    from runcommit_core.cache.untrusted import open_regular

    with open_regular(source) as file, place.open("wb") as output:
        shutil.copyfileobj(file, output, 1 << 20)
