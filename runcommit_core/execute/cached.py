"""One job's result out of a store, or by its steps and into the stores."""

from __future__ import annotations

import functools
import logging
import shutil
import time
from typing import TYPE_CHECKING

from runcommit_core.cache.key import result_key, why_not_hermetic
from runcommit_core.cache.shared import stores
from runcommit_core.engine.interruption import waiting
from runcommit_core.errors import ArchiveError
from runcommit_core.execute.running import Ran
from runcommit_core.interface.progress import CacheLookup
from runcommit_core.interface.values import EngineInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core.cache.entry import Entry
    from runcommit_core.cache.store import Store, Stored
    from runcommit_core.execute.running import RunSteps
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layers
    from runcommit_core.plan.plan import Plan
    from runcommit_core.request.commands import Commands

log = logging.getLogger("runcommit")


def run_cached(planned: Plan, by_steps: RunSteps) -> RunSteps:
    """The same, but for what a store has the result of; and results are kept.

    The first of the stores is the user's own.  One that fails is asked no more, and never fails a
    job.  With ``--verify``, results are kept but never taken.
    """
    usable = stores(planned.request.behaviour.caching.shared)
    return functools.partial(_run, planned, by_steps, usable)


def _run(
    planned: Plan, by_steps: RunSteps, usable: list[Store], job: Job, commands: Commands
) -> Ran:
    asked = planned.request.behaviour
    if reason := why_not_hermetic(job) if asked.caching.mode == "hermetic" else "":
        log.info("no use of the cache: %s (--cache always uses it)", reason)
        return by_steps(job, commands)
    started = time.monotonic()
    key = result_key(job, lambda: planned.choice.settle()[0])
    with waiting():
        taken = None if asked.verify else _take(usable, key, job)
    job.progress(CacheLookup(key, taken is not None))
    if taken is not None:
        entry, layers = taken
        return Ran(
            layers=layers,
            transport="cache",
            cache="hit",
            taken_from=EngineInfo(name=entry.backend, version=entry.version),
            looking=time.monotonic() - started,
        )
    started = time.monotonic()
    ran = by_steps(job, commands)
    entry = _entry(planned, key, commands, ran, time.monotonic() - started)
    with waiting():
        _keep(usable, key, job, ran.layers, entry)
    return Ran(layers=ran.layers, transport=ran.transport, cache="miss")


def _take(usable: list[Store], key: str, job: Job) -> tuple[Entry, Layers] | None:
    from runcommit_core.cache.entry import unpack, unpack_record
    from runcommit_core.cache.untrusted import DamagedEntryError

    for store in tuple(usable):
        try:
            stored = store.get(key, job.folder)
            if stored is None:
                continue
            entry = unpack_record(stored.record, key)
            layers = unpack(entry, stored.layer, job.output)
        except (DamagedEntryError, ArchiveError) as error:
            log.warning("a result in the cache %s is damaged, removing it: %s", store.name, error)
            _try(usable, store, functools.partial(store.remove, key))
        except OSError as error:
            _give_up(usable, store, error)
        else:
            log.info("the result comes from the cache %s", store.name)
            if store is not usable[0]:
                copy = _copy_of(stored)
                _try(usable, usable[0], functools.partial(usable[0].put, key, stored.record, copy))
            return entry, layers
    return None


def _entry(planned: Plan, key: str, commands: Commands, ran: Ran, seconds: float) -> Entry:
    from runcommit_core.cache.entry import new_entry

    return new_entry(
        key,
        ran.layers,
        commands=commands.history,
        transport=ran.transport,
        seconds=seconds,
        backend=planned.choice.name,
        version=planned.choice.version,
    )


def _keep(usable: list[Store], key: str, job: Job, layers: Layers, entry: Entry) -> None:
    from runcommit_core.cache.entry import compress, pack_record
    from runcommit_core.cache.store import LARGEST_RECORD

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

    for store in tuple(usable):
        _try(usable, store, functools.partial(store.put, key, record, write_layer if tar else None))
    compressed.unlink(missing_ok=True)


def _try(usable: list[Store], store: Store, do: Callable[[], None]) -> None:
    from runcommit_core.cache.untrusted import DamagedEntryError

    try:
        do()
    except OSError as error:
        _give_up(usable, store, error)
    except DamagedEntryError as error:
        log.warning("a result was not copied to the cache %s: %s", store.name, error)


def _give_up(usable: list[Store], store: Store, error: OSError) -> None:
    log.warning("cannot use the cache %s: %s", store.name, error)
    usable.remove(store)


def _copy_of(stored: Stored) -> Callable[[Path], None] | None:
    layer = stored.layer
    return None if layer is None else lambda place: _copy(layer, place)


def _copy(source: Path, place: Path) -> None:
    from runcommit_core.cache.untrusted import open_regular

    with open_regular(source) as file, place.open("wb") as output:
        shutil.copyfileobj(file, output, 1 << 20)
