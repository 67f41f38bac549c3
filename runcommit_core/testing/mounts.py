"""The part of the contract about mounts and secrets: there in the run, and nowhere afterwards."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.expectations import (
    each,
    expect,
    expect_content,
    expect_diff_id,
    expect_equal,
    expect_failed_command,
    expect_member,
    expect_paths,
    expect_said,
    expect_unsaid,
)

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_MOUNTS = Duty(
    "run",
    "make every one of job.run.mounts, in their order: with a source it is a bind mount"
    " (recursive; read-only where read_only says so), without one a new tmpfs with size and mode;"
    " job.run.mounts[…].words() has them in docker's syntax. Or declare Lack('mount', reason)"
    " or Lack('tmpfs', reason)",
)
_NO_TRACE = Duty(
    "save",
    "hand over what lies beneath the mounts, never what is in them; the empty files and folders"
    " that the engine made for them are left out by the core (job.layer.mount_points)",
)
_SECRETS = Duty(
    "run",
    "mount a secret like any other of job.run.mounts, start programs through runcommit_core.process"
    " and hand the command's output to job.console alone: then nothing writes it down",
)


class MountContract:
    """What a run finds besides the base."""

    def test_mounts_leave_no_trace(self, bench: Bench, base: bases.Base) -> None:
        for name in ("file", "two words"):
            (bench.folder / name).write_text("an input")
        (bench.folder / "folder/in").mkdir(parents=True)
        (bench.folder / "folder").chmod(0o777)
        (bench.folder / "folder/in/link").symlink_to(bench.folder / "file")
        layer = bench.folder / "layer.tar"
        options = (
            *("--input", f"{bench.folder}/file:/in/deep/file"),
            *("--input", f"{bench.folder}/folder:/in/folder"),
            *("--input", f"{bench.folder}/two words:/in/two words"),
            *("--mount", f"type=bind,src={bench.folder}/file,dst=/etc/motd,ro"),
            *("--mount", "type=tmpfs,dst=/data"),
            *("--mount", f"type=bind,src={bench.folder}/folder,dst=/data/tree"),
            *("--mount", "type=tmpfs,dst=/mem/here,size=1m,mode=1751"),
            *("--mount", "type=cache,id=it,dst=/var/cache/it,sharing=locked"),
        )
        commands = (
            (
                "set -e; for it in /in/deep/file /in/folder/in/link /etc/motd '/in/two words'; do"
                ' test "$(cat "$it")" = "an input"; done; test -d /data/tree/in;'
                ' test "$(ls -A /data)" = tree;'
                ' test "$(stat -c %a /mem/here)" = 1751;'
                " test $(df -k /mem/here | awk 'END { print $2 }') = 1024"
            ),
            (
                "echo x > /in/deep/file && exit 1; touch /in/folder/x && exit 2;"
                " echo x > /etc/motd && exit 3; touch /data/tree/mine /mem/here/mine"
            ),
            'set -- /mem/here/*; test "$*" = /mem/here/mine; echo mine > /in/own',
            "echo run >> /var/cache/it/runs",
        )
        for runs in ("run\n", "run\nrun\n"):
            check = f'test "$(cat /var/cache/it/runs)" = "{runs.strip()}"'
            ran = bench.job(
                base.ref, *options, *each((*commands, check)), "-o", layer,
                env={"RUNCOMMIT_CACHE_DIR": f"{bench.folder}/cache"},
            )  # fmt: skip
            if refused(bench, ran, "mount", "tmpfs"):
                return
            expect_diff_id(ran, duty=_MOUNTS)
            members = expect_paths(layer, {"in", "in/own"}, _NO_TRACE)
            expect_member(members["in"], _NO_TRACE, mode=0o755, uid=0, mtime=bases.EPOCH)
        written = (bench.folder / "folder/mine").exists()
        expect(written, "what the command writes to a bind mount to be there", _MOUNTS)
        source = (bench.folder / "file").read_text()
        expect_equal("the source of a mount", source, "an input", _MOUNTS)

    def test_a_secret_is_nowhere_but_in_the_run(self, bench: Bench, base: bases.Base) -> None:
        secrets = ("s3cret-of-a-file\nwith-a-second-line", "s3cret-of-a-variable")
        (bench.folder / "secret").write_text(secrets[0])
        outputs = {name: bench.folder / name for name in ("layer", "image", "metadata")}
        ran = bench.job(
            base.ref, "-vv", *(f"--{name}={path}" for name, path in outputs.items()),
            *("--secret", f"id=one,src={bench.folder}/secret", "--secret", "id=two,env=TWO"),
            *("--mount", "type=secret,id=two,target=/data/secret,mode=0444"),
            "-c", "cat /run/secrets/one /data/secret; wc -c < /run/secrets/one > /size",
            "-c", 'test -z "$TWO" && ls -l /run/secrets/one && ! echo x > /run/secrets/one',
            env={"TWO": secrets[1]},
        )  # fmt: skip
        if refused(bench, ran, "mount"):
            return
        expect_diff_id(ran, duty=_MOUNTS)
        expect_paths(outputs["layer"], {"size"}, _NO_TRACE)
        expect_content(outputs["layer"], "size", f"{len(secrets[0])}\n".encode(), _MOUNTS)
        expect_said(ran, stat.filemode(0o400)[1:], duty=_MOUNTS)
        expect_unsaid(ran, "s3cret", "with-a-second-line", duty=_SECRETS)
        blobs = [path for path in outputs["image"].rglob("*") if path.is_file()]
        for path in (outputs["layer"], outputs["metadata"], *blobs):
            data = path.read_bytes()
            clean = b"s3cret" not in data and b"with-a-second-line" not in data
            expect(clean, f"no secret in the output {path.name}", _SECRETS)
        fails = bench.job(
            base.ref, "--secret", f"id=one,src={bench.folder}/secret",
            "-c", "cat /run/secrets/one >&2; exit 3",
        )  # fmt: skip
        expect_failed_command(fails, 3, _SECRETS)
        expect_unsaid(fails, "s3cret", duty=_SECRETS)
