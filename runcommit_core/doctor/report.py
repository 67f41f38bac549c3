"""The whole examination: the machine, then each backend and the job that it is tried with."""

from __future__ import annotations

import contextlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from runcommit_core.doctor.machine import machine_findings
from runcommit_core.doctor.rootless import rootless_findings
from runcommit_core.engine.cures import cure_for
from runcommit_core.errors import BackendContractError, UnknownBackendError
from runcommit_core.interface.findings import Finding
from runcommit_core.plugins.backends import describe, find_backend, installed, pipeline
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core.interface.values import EngineInfo, EngineOptions

SCHEMA_VERSION = 1

_CACHE = "RUNCOMMIT_CACHE_DIR"
_NO_CURE = "install the engine, or see the engine's own words above"


@record
class BackendReport:
    """One backend: what it says of its engine, and what the checks found."""

    name: str
    info: EngineInfo
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        return all(finding.status != "problem" for finding in self.findings)


@record
class Report:
    """What ``runcommit doctor`` found."""

    machine: tuple[Finding, ...]
    backends: tuple[BackendReport, ...]


def examine(names: Sequence[str], engine: EngineOptions) -> Report:
    """Check the machine and the named backends, or all that are installed.

    The jobs that are tried leave nothing behind, in the engines or in the user's cache.  Raises
    UnknownBackendError for a name that no backend has.
    """
    chosen = names or [item.name for item in installed()]
    for name in chosen:
        if names:
            find_backend(name)
    machine = (*machine_findings(), *rootless_findings())
    with _cache_of_its_own(), ThreadPoolExecutor() as pool:
        reports = tuple(pool.map(lambda name: _examine(name, engine), chosen))
    return Report(machine, reports)


def as_json(report: Report) -> dict[str, Any]:
    """The report in its published form, see docs/reference/doctor.md."""
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": [_finding(finding) for finding in report.machine],
        "backends": [
            {
                "name": backend.name,
                "usable": backend.usable,
                "engine_version": backend.info.version or None,
                "rootless": None if backend.info.problem else backend.info.rootless,
                "storage": backend.info.storage or None,
                "checks": [_finding(finding) for finding in backend.findings],
            }
            for backend in report.backends
        ],
    }


def _examine(name: str, engine: EngineOptions) -> BackendReport:
    from runcommit_core.doctor.trial import trial_findings

    info = describe(name, engine)
    if info.problem:
        cure = cure_for(info.problem) or _NO_CURE
        return BackendReport(name, info, (Finding("problem", "engine", info.problem, cure),))
    findings = [*_diagnosed(name, engine), *trial_findings(name, engine)]
    return BackendReport(name, info, tuple(findings))


def _diagnosed(name: str, engine: EngineOptions) -> list[Finding]:
    """The backend's own findings; that it fails to find any is one, too."""
    try:
        findings: object = pipeline(find_backend(name), name).diagnose(engine=engine)
    except (UnknownBackendError, BackendContractError) as error:
        return [Finding("problem", "backend", str(error), error.tip)]
    except Exception as error:  # noqa: BLE001 - anybody's code
        return [Finding("warning", "diagnose", f"raised {type(error).__name__}: {error}")]
    return list(findings) if isinstance(findings, (list, tuple)) else []


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "status": finding.status,
        "found": finding.found,
        "cure": finding.cure,
    }


@contextlib.contextmanager
def _cache_of_its_own() -> Iterator[None]:
    """A cache folder that goes with the trials, so that nothing of them stays in the user's."""
    before = os.environ.get(_CACHE)
    with tempfile.TemporaryDirectory(prefix="runcommit-") as folder:
        os.environ[_CACHE] = folder
        try:
            yield
        finally:
            del os.environ[_CACHE]
            if before is not None:
                os.environ[_CACHE] = before
