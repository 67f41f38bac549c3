"""Services of podman 5, which the hosts do not have: what differs most between versions.

All of the contract goes through them as well: let ``TestServices`` inherit from it to see that.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from runcommit_core import process
from runcommit_core.testing import BackendContract, Bench, bases
from tests import podman_services
from tests.podman_prefix import SUITES
from tests.test_podman_api import FLAGS, SEEN, SEEN_FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.needs("newer-podmans"),
    pytest.mark.lane("newer-podmans"),
]


@pytest.fixture(scope="module", params=SUITES)
def service(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with podman_services.service(request.param) as bench:
        yield bench


@pytest.fixture
def bench(service: Bench, tmp_path: Path) -> Bench:
    return dataclasses.replace(service, folder=tmp_path)


class TestServices:
    base = BackendContract.base
    nothing_stays = BackendContract.nothing_stays

    test_layer = BackendContract.test_the_layer_holds_exactly_what_changed
    test_transports = BackendContract.test_both_transports_give_the_same_layer
    test_root = BackendContract.test_base_and_layer_are_what_the_container_saw
    test_output = BackendContract.test_output_is_live_and_complete
    test_failing_command = BackendContract.test_the_first_failure_stops
    test_missing_program = BackendContract.test_a_program_that_is_not_there
    test_surroundings = BackendContract.test_env_user_and_workdir_hold_for_the_run_alone
    test_mounts = BackendContract.test_mounts_leave_no_trace
    test_timeout = BackendContract.test_a_timeout_ends_the_run
    test_leftovers = BackendContract.test_prune_removes_what_a_killed_job_left


def test_flags_of_run_do_what_they_say(bench: Bench) -> None:
    base = bases.busybox(bench.folder / "base")
    (bench.folder / "file").write_text("mounted\n")
    words = [f"--run-flag={word}" for word in (*FLAGS, "-v", f"{bench.folder}:/mnt:ro")]
    ran = bench.job(base.ref, *words, "-c", SEEN)
    assert ran.stderr.splitlines()[: len(SEEN_FIRST)] == list(SEEN_FIRST), ran.stderr


def test_a_connection_is_found_that_podman_has_added(bench: Bench) -> None:
    """Podman 5 writes it to a file of its own."""
    home = {"XDG_CONFIG_HOME": str(bench.folder)}
    add = ("podman", "system", "connection", "add", "there", bench.env["CONTAINER_HOST"])
    process.output(*add, env={**bench.env, **home})
    assert list(bench.folder.glob("containers/podman-connections.json*"))
    base = bases.busybox(bench.folder / "base")
    by_name = {**home, "CONTAINER_HOST": "", "CONTAINER_CONNECTION": "there"}
    assert bench.job(base.ref, "-c", "echo > /new", env=by_name).diff_id
