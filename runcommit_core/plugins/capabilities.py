"""What a job needs of its engine, refused before the run where the backend says it is lacking.

A capability is named like the option that asks for it.  Some are optional steps: a backend
without the step lacks them.  The others a backend declares with its step ``lacks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runcommit_core.errors import BackendContractError, UsageError
from runcommit_core.interface.mode import Mode
from runcommit_core.interface.values import Lack, RunOptions
from runcommit_core.plugins.builtin import ENGINES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineOptions

_OF_STEPS: Mapping[str, tuple[str, str, str]] = {
    "engine-base": (
        *("resolve", "takes no bases engine:REF"),
        "save the image as an archive and name that",
    ),
    "load": (
        *("deliver", "loads no images into its engine, so not --load"),
        "write a docker-archive with --image and load it by hand",
    ),
    "verify": (
        "root",
        "cannot show the root of a container, so not --verify",
        "leave --verify out",
    ),
    "keep-on-failure": (
        *(
            "enter",
            "opens no shell in a container, so neither --keep-on-failure nor --shell-on-failure",
        ),
        f"choose {ENGINES}",
    ),
    "explain": (
        *("rehearse", "tells no commands beforehand, so no --explain"),
        "run with -vv, which shows every engine command",
    ),
    "prune": ("leftovers", "does not find what killed jobs left in the engine", ""),
    "prune-bases": ("base_copies", "does not find the private copies of bases", ""),
    "doctor": ("diagnose", "has no checks of its own", ""),
}
"""By capability: the step, what a backend without it does not do, and what to do instead."""

OF_RUNS = ("network", "mount", "tmpfs", "memory", "cpus", "platform", "run-flag")
"""Capabilities that a run may need, in the order in which their lack is told."""

CAPABILITIES = (*OF_RUNS, "registry", *_OF_STEPS)
"""All names that a :class:`Lack` may have.

``registry`` is lacking where the engine has no client of registries: archives go, or the bytes of
the layers themselves, and nobody wonders why.
"""


def lacking(
    steps: Pipeline,
    backend: str,
    engine: EngineOptions,
    *,
    run: RunOptions | None = None,
    wanted: Collection[str] = CAPABILITIES,
) -> list[Lack]:
    """What of ``wanted`` the backend lacks, in the order of CAPABILITIES.

    The engine is asked by the backend's own ``lacks`` alone, and by it only what it must be.
    Raises BackendContractError for an answer that is none.
    """
    lacks = {lack.capability: lack for lack in _without_steps(steps, backend)}
    if asked := [name for name in wanted if name not in lacks]:
        for lack in _declared(steps, backend, engine, run or RunOptions(), asked):
            lacks.setdefault(lack.capability, lack)
    return [lacks[name] for name in CAPABILITIES if name in wanted and name in lacks]


def refuse(
    steps: Pipeline,
    backend: str,
    engine: EngineOptions,
    wanted: Collection[str],
    run: RunOptions | None = None,
) -> None:
    """Raise UsageError for the first of ``wanted`` that is lacking; nothing wanted costs nothing.

    Raises what ``lacking`` raises, too.
    """
    for lack in lacking(steps, backend, engine, run=run, wanted=wanted) if wanted else ():
        asked = f", so not --network {run.network}" if run and lack.capability == "network" else ""
        raise UsageError(f"{lack.reason}{asked}", tip=lack.tip)


def refuse_missing(
    steps: Pipeline, backend: str, _engine: EngineOptions, wanted: Collection[str]
) -> None:
    """Raise UsageError for the first of ``wanted`` that has no step; the engine is not asked."""
    for lack in _without_steps(steps, backend):
        if lack.capability in wanted:
            raise UsageError(lack.reason, tip=lack.tip)


def refuse_run(steps: Pipeline, backend: str, job: Job) -> None:
    """Raise UsageError where the engine cannot keep to what this job asks of its run."""
    registry = ("registry",) if job.transport.mode is Mode.REGISTRY else ()
    refuse(steps, backend, job.engine, (*_needs(job.run), *registry), job.run)


def _needs(run: RunOptions) -> Iterator[str]:
    given = {
        "network": run.network,
        "mount": any(mount.source for mount in run.mounts),
        "tmpfs": any(not mount.source for mount in run.mounts),
        "memory": run.memory,
        "cpus": run.cpus,
        "platform": run.platform,
        "run-flag": run.flags,
    }
    yield from (name for name in OF_RUNS if given[name])


def _without_steps(steps: Pipeline, backend: str) -> Iterator[Lack]:
    from runcommit_core.plugins.backends import implements

    for name, (step, what, tip) in _OF_STEPS.items():
        if not implements(steps, step):
            yield Lack(name, f"backend {backend!r} {what} (it has no step {step!r})", tip)


def _declared(
    steps: Pipeline, backend: str, engine: EngineOptions, run: RunOptions, wanted: Collection[str]
) -> list[Lack]:
    if not steps.lacks.get_hookimpls():  # type: ignore[attr-defined]  # pluggy's own
        return []
    answer: object = steps.lacks(engine=engine, run=run, wanted=wanted)
    lacks: list[Any] = list(answer) if isinstance(answer, list | tuple) else [answer]
    for lack in lacks:
        if not isinstance(lack, Lack) or lack.capability not in CAPABILITIES or not lack.reason:
            raise BackendContractError(
                f"lacks of backend {backend!r} answered {lack!r}, it must return a list of"
                " runcommit_core.Lack(capability, reason), each capability one of"
                f" {', '.join(CAPABILITIES)}"
            )
    return lacks
