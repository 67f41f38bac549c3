"""``python -m benchmarks.run``: the project's benchmarks, on private engines.

Without test hosts it brings them up first (:mod:`tests.with_hosts`) and starts itself again there.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib.util
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import bases, engines, plot
from benchmarks.measure import Kind, measure
from benchmarks.report import Measured, as_json, markdown
from benchmarks.workloads import WORKLOADS, Place
from tests.hosts import SPECS, VARIABLE, Host, session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from benchmarks.bases import Base
    from benchmarks.workloads import Workload

HOSTS = ["docker", "podman", "buildah"]
OPTIONAL = [Kind.FORCED, Kind.CLASSIC, Kind.PEER, Kind.OTHER]
"""The kinds of contenders without which a table still says something."""


def main() -> int:
    """Measure, print Markdown."""
    options = _options()
    if VARIABLE not in os.environ:
        only = ("--only", ",".join(options.hosts))
        again = (sys.executable, "-m", "benchmarks.run", *sys.argv[1:])
        os.execv(sys.executable, [sys.executable, "-m", "tests.with_hosts", *only, "--", *again])
    hosts = [session().hosts[name] for name in options.hosts]
    facts = _facts(hosts, options)
    measured, failures = _measure_all(hosts, options)
    print("\n".join(f"{key}: {value}" for key, value in facts.items()), end="\n\n")
    print(markdown(measured))
    if options.json:
        document = {"facts": facts, **as_json(measured)}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot and measured:
        plot.draw(as_json(measured)["times"], options.plot)
    for failure in failures:
        _say(failure)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Time runcommit beside the engine's bare run, the classic way, and peers.",
        epilog="LIST: names with commas between them. "
        + " ".join(f"{name}: {workload.title}." for name, workload in WORKLOADS.items()),
    )
    parser.add_argument(
        "--workload", type=_names(WORKLOADS), default=["W1"], metavar="LIST",
        help=f"of {', '.join(WORKLOADS)}, or all (default: W1)",
    )  # fmt: skip
    parser.add_argument(
        "--hosts", type=_names([spec.name for spec in SPECS]), metavar="LIST",
        default=HOSTS,
        help=f"of {', '.join(spec.name for spec in SPECS)}, or all (default: {', '.join(HOSTS)})",
    )  # fmt: skip
    parser.add_argument(
        "--bases", type=_names(bases.KINDS), metavar="LIST",
        help=f"of {', '.join(bases.KINDS)}, or all (default: what the workload is about)",
    )  # fmt: skip
    parser.add_argument(
        "--layers", choices=["gzip", "plain"], default="gzip",
        help="how the bases' OCI layouts store layers (default: gzip)",
    )  # fmt: skip
    parser.add_argument(
        "--without", type=_names(OPTIONAL), default=[], metavar="LIST",
        help=f"leave these out: of {', '.join(OPTIONAL)}, or all (default: none)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="that count (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single time there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the medians there, as SVG")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    for path in filter(None, (options.json, options.plot)):
        if not path.absolute().parent.is_dir():
            parser.error(f"{path}: there is no such folder")
    if options.plot and not importlib.util.find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install --group bench")
    return options


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = list(known) if text == "all" else text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            message = f"no {', '.join(unknown)} among {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
        return chosen

    return names


def _facts(hosts: list[Host], options: argparse.Namespace) -> dict[str, str]:
    kernel = os.uname()
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} CPUs, {kernel.sysname} {kernel.release}, {kernel.machine}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": sys.version.split()[0],
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
        "rounds": str(options.rounds),
        "layers of the base": options.layers,
        **{host.name: engines.version(host) for host in hosts},
    }


def _measure_all(
    hosts: list[Host], options: argparse.Namespace
) -> tuple[list[Measured], list[str]]:
    """Measure workload by workload; one that fails costs no other its times."""
    chosen = {name: WORKLOADS[name] for name in options.workload}
    wanted = {name: options.bases or workload.bases for name, workload in chosen.items()}
    kinds = [kind for kind in bases.KINDS if any(kind in each for each in wanted.values())]
    _check_disk(kinds, len(hosts))
    with _made(hosts, kinds, options.layers) as made:
        measured, failures = [], []
        for name, workload in chosen.items():
            places = [
                Place(host, made[kind], Path(host.env["TMPDIR"]))
                for kind in kinds
                if kind in wanted[name]
                for host in hosts
            ]
            try:
                measured.append(_measure(name, workload, places, options))
            except Exception as error:  # noqa: BLE001  # whatever a contender fails with
                failures.append(f"{name}: {type(error).__name__}: {error}")
        return measured, failures


def _check_disk(kinds: list[str], hosts: int) -> None:
    """Refuse early what would fail when a disk is full, an hour later."""
    sizes = [bases.KINDS[kind].megabytes for kind in kinds]
    # Layout, archive, and one copy in each engine; what a contender makes of the largest; W5.
    needed = sum(sizes) * (2 + hosts) + 3 * max(sizes) + 6000
    free = shutil.disk_usage(session().shared).free // bases.MEGABYTE
    if free < needed:
        raise SystemExit(
            f"scripts/bench: {session().shared} has {free / 1000:.0f} GB free, these bases on "
            f"{hosts} hosts need {needed / 1000:.0f}: choose fewer with --bases or --hosts"
        )


@contextlib.contextmanager
def _made(hosts: list[Host], kinds: list[str], layers: str) -> Iterator[dict[str, Base]]:
    """Make the bases; in the end engines forget them."""
    with tempfile.TemporaryDirectory(dir=session().shared) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = {}
        for kind in kinds:
            _say(f"making the base {kind}")
            made[kind] = bases.make(kind, folder, gzipped=layers == "gzip")
        try:
            yield made
        finally:
            for host in hosts:
                engines.forget(host)


def _measure(
    name: str, workload: Workload, places: list[Place], options: argparse.Namespace
) -> Measured:
    for place in places:
        engines.take_in(place.host, place.base)
    _say(f"{name} on {', '.join(dict.fromkeys(it.base.name for it in places))}: {workload.title}")
    contenders = [
        contender
        for place in places
        for contender in workload.contenders(place)
        if contender.kind not in options.without
    ]
    return Measured(name, workload, measure(contenders, options.rounds))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
