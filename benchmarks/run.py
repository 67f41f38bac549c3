"""``python -m benchmarks.run``: the project's benchmarks, on private engines.

Without test hosts it brings them up first (:mod:`tests.with_hosts`) and starts itself again there.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import bases, engines
from benchmarks.measure import measure
from benchmarks.report import Measured, as_json, markdown
from benchmarks.workloads import WORKLOADS, Place
from tests.hosts import SPECS, VARIABLE, Host, session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from benchmarks.workloads import Workload

HOSTS = ["docker", "podman", "buildah"]


def main() -> int:
    """Measure, print Markdown."""
    options = _options()
    if VARIABLE not in os.environ:
        only = ("--only", ",".join(options.hosts))
        again = (sys.executable, "-m", "benchmarks.run", *sys.argv[1:])
        os.execv(sys.executable, [sys.executable, "-m", "tests.with_hosts", *only, "--", *again])
    hosts = [session().hosts[name] for name in options.hosts]
    facts = _facts(hosts, options)
    measured = _measure_all(hosts, options)
    print("\n".join(f"{key}: {value}" for key, value in facts.items()), end="\n\n")
    print(markdown(measured))
    if options.json:
        document = {"facts": facts, "times": as_json(measured)}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Time runcommit beside the engine's bare run and the classic way.",
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
    parser.add_argument("--rounds", type=int, default=7, help="that count (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single time there")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
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
        "rounds": str(options.rounds),
        "layers of the base": options.layers,
        **{host.name: engines.version(host) for host in hosts},
    }


def _measure_all(hosts: list[Host], options: argparse.Namespace) -> list[Measured]:
    chosen = {name: WORKLOADS[name] for name in options.workload}
    wanted = {name: options.bases or workload.bases for name, workload in chosen.items()}
    measured = []
    with tempfile.TemporaryDirectory(dir=session().shared) as name:
        folder = Path(name)
        folder.chmod(0o755)
        for kind in [kind for kind in bases.KINDS if any(kind in each for each in wanted.values())]:
            _say(f"making the base {kind}")
            with _on_hosts(hosts, kind, folder, options.layers) as places:
                for label, workload in chosen.items():
                    if kind in wanted[label]:
                        measured.append(_measure(label, workload, places, options.rounds))
    return sorted(measured, key=lambda item: item.workload)


@contextlib.contextmanager
def _on_hosts(hosts: list[Host], kind: str, folder: Path, layers: str) -> Iterator[list[Place]]:
    base = bases.make(kind, folder, gzipped=layers == "gzip")
    places = [Place(host, base, Path(host.env["TMPDIR"])) for host in hosts]
    try:
        yield places
    finally:
        for host in hosts:
            engines.forget(host)
        shutil.rmtree(base.layout)
        base.archive.unlink()


def _measure(label: str, workload: Workload, places: list[Place], rounds: int) -> Measured:
    for place in places:
        engines.take_in(place.host, place.base)
    _say(f"{label} on {places[0].base.name}: {workload.title}")
    contenders = [contender for place in places for contender in workload.contenders(place)]
    timings = measure(contenders, rounds)
    return Measured(label, workload.title, places[0].base.name, timings)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
