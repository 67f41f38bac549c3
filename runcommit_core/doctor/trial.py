"""A real job on a tiny base: what no list of checks can promise, it shows."""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.doctor.trialimage import MADE, TrialImage, write_trial_image
from runcommit_core.engine.cures import cure_for
from runcommit_core.errors import RuncommitError
from runcommit_core.interface.findings import Finding
from runcommit_core.plan.making import temporary_parent
from runcommit_core.plugins.backends import find_backend, pipeline
from runcommit_core.plugins.capabilities import lacking
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.interface.values import EngineOptions

_WAYS = {
    "upper": "from the upper directory of its overlay, without a commit",
    "registry": "with a push to the job's registry",
    "archive": "as an archive",
    "root": "by comparing the container's whole root, which is slower",
}


@record
class Attempt:
    """How a job went: ``transport`` it used, or the ``error`` that ended it."""

    transport: str = ""
    error: str = ""
    tip: str = ""


def trial_findings(backend: str, engine: EngineOptions) -> list[Finding]:
    """Run jobs with the backend; any ``problem`` among the findings says that it is unusable."""
    with _image() as image:
        if image is None:
            return [
                Finding(
                    "warning", "trial", "skipped: no program for this architecture",
                    "install a static busybox",
                )
            ]  # fmt: skip
        first = _attempt(backend, engine, image, network="none")
        if not first.error:
            findings = [
                _worked(first),
                Finding("ok", "network none", "keeps a job off the network"),
            ]
            return [*findings, _loopback(first, backend, engine, image, "none")]
        second = _attempt(backend, engine, image, network="host")
        if second.error:
            return [_failed("trial", "problem", first)]
        refused = _failed("network none", "warning", first)
        return [_worked(second), refused, _loopback(second, backend, engine, image, "host")]


@contextlib.contextmanager
def _image() -> Iterator[TrialImage | None]:
    with tempfile.TemporaryDirectory(prefix="runcommit-", dir=temporary_parent()) as folder:
        yield write_trial_image(Path(folder))


def _attempt(
    backend: str,
    engine: EngineOptions,
    image: TrialImage,
    *,
    network: str,
    transport: str = "auto",
) -> Attempt:
    from runcommit_core.api import run_commit

    said: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="runcommit-", dir=temporary_parent()) as folder:
        layer = Path(folder) / "layer.tar"
        try:
            result = run_commit(
                image.reference,
                argv=image.argv,
                backend=backend,
                engine_path=engine.path,
                engine_flags=engine.flags,
                transport=transport,
                network=network,
                keep_base=False,
                cache="off",
                layer=layer,
                console=said.append,
            )
        except RuncommitError as error:
            words = f"{error}\n{b''.join(said).decode(errors='replace')}"
            return Attempt(error=str(error), tip=error.tip or cure_for(words))
        with tarfile.open(layer) as tar:
            names = tar.getnames()
    if names != [MADE]:
        return Attempt(error=f"the new layer holds {names}, expected only {MADE}")
    return Attempt(result.transport)


def _worked(attempt: Attempt) -> Finding:
    way = _WAYS.get(attempt.transport, attempt.transport)
    status = "warning" if attempt.transport == "root" else "ok"
    cure = "use native overlay storage" if attempt.transport == "root" else ""
    return Finding(status, "trial", f"a job works; the layer comes {way}", cure)  # type: ignore[arg-type]


def _loopback(
    before: Attempt, backend: str, engine: EngineOptions, image: TrialImage, network: str
) -> Finding:
    """Whether the engine reaches a registry on our loopback; a job that used it has shown it."""
    check = "loopback registry"
    steps = pipeline(find_backend(backend), backend)
    if lack := lacking(steps, backend, engine, wanted=("registry",)):
        return Finding("info", check, f"is not needed: {lack[0].reason}")
    if before.transport == "archive":
        return Finding("info", check, "the engine does not reach it: images go as archives")
    if before.transport != "registry":
        attempt = _attempt(backend, engine, image, network=network, transport="registry")
        if attempt.error:
            why = attempt.error.splitlines()[-1].strip(" |")
            return Finding("info", check, f"not usable, images go as archives: {why}")
    return Finding("ok", check, "the engine reaches it")


def _failed(check: str, status: str, attempt: Attempt) -> Finding:
    return Finding(status, check, attempt.error, attempt.tip)  # type: ignore[arg-type]
