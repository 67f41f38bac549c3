"""Words and environment in which a client is given the variables of a run."""

from __future__ import annotations

import types
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from runcommit_core import RunOptions, UsageError, client_environment, variable_words

if TYPE_CHECKING:
    from runcommit_core import Job


def job(folder: Path, **env: str) -> Job:
    made = types.SimpleNamespace(id="0f", folder=folder, run=RunOptions(env=env))
    return cast("Job", made)


def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    run = job(tmp_path, TOKEN=" s3cret #'", PATH="/bin", EMPTY="", SOURCE_DATE_EPOCH="7")
    for _ in "12":  # once more, as for a container that is made anew
        *shown, option, path = variable_words(run)
    assert (shown, option) == (["--env", "SOURCE_DATE_EPOCH=7"], "--env-file")
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert Path(path).read_text() == "TOKEN= s3cret #'\nPATH=/bin\nEMPTY=\n"
    assert "TOKEN" not in client_environment(run)
    assert client_environment(run)["PATH"] != "/bin"


def test_without_variables_there_is_no_file(tmp_path: Path) -> None:
    assert variable_words(job(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["KEY", "SSH_PRIVATE_KEY", "LDAP_CERT", "GOOGLE_KEY", "SDK", "RESULTS", "#KEY", "A B"]
)
def test_lines_go_through_the_environment(tmp_path: Path, name: str) -> None:
    run = job(tmp_path, **{name: "one\ntwo"})
    assert variable_words(run) == ["--env", name]
    assert client_environment(run)[name] == "one\ntwo"


@pytest.mark.parametrize(
    "name", ["PATH", "LD_AUDIT", "DOCKER_HOST", "_CONTAINERS_ROOTLESS_UID", "no_proxy", "KEY*"]
)
@pytest.mark.parametrize("value", ["s3cret\n", "s3cret\r", "s3cret" * 9999, "s3cret\udcff"])
def test_lines_that_the_client_would_take_for_its_own(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(UsageError) as caught:
        variable_words(job(tmp_path, **{name: value}))
    assert str(caught.value).startswith(f"--env: the value of {name} ")
    assert "s3cret" not in f"{caught.value}{caught.value.tip}"
