"""Backends for the command line's tests, each named as ``tests.talking:NAME``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from runcommit_core import CommandError, Container, Image, hookimpl, process
from tests import canned

if TYPE_CHECKING:
    from runcommit_core import Job


@hookimpl(specname="load")
def _load(job: Job) -> Image:
    process.output("/bin/echo", "engine")
    return canned.load(job)


@hookimpl(specname="run")
def _fail() -> Container:
    raise CommandError("the command failed with exit code 9", command_exit_code=9)


@hookimpl(specname="run")
def _tell(job: Job) -> Container:
    told = {
        "argv": job.argv,
        "env": dict(job.run.env),
        "user": job.run.user,
        "workdir": job.run.workdir,
        "network": job.run.network,
        "flags": job.run.flags,
        "engine": job.engine.command("engine"),
    }
    job.console(json.dumps(told).encode() + b"\n")
    return Container(job.name)


@hookimpl(specname="run")
def _wait(job: Job) -> Container:
    job.console(b"waiting\n")
    time.sleep(300)
    return Container(job.name)


plain = canned.backend()
engine = canned.backend(load=_load)
half = canned.backend(save=None)
idle = canned.backend(save=canned.save_nothing)
failing = canned.backend(run=_fail)
telling = canned.backend(run=_tell)
waiting = canned.backend(run=_wait)
