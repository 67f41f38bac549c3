"""A Bazel of one's own in a folder: Debian's packages, unpacked and made to run from there.

``python -m tests.bazel_prefix PREFIX [SUITE]`` makes ``PREFIX/bin/bazel`` (and ``PREFIX/bin/jq``).
Nothing is installed on the machine, and the machine may be older than the packages: its C library
is not used, as every program gets the prefix's own by patchelf. The folder holds absolute paths,
so it stays where it was made. Standard library only: this runs before there is an environment.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITES = ("forky", "sid")
"""Debian suites that have a Bazel, in the order in which they are tried."""

WANTED = ("bazel-bootstrap", "bazel-rules-shell", "jq", "libblake3-0")
"""What is asked for; Bazel's JNI library needs libblake3, which its package does not depend on."""

KEPT = (
    *("bazel-*", "jq", "libjq1", "libonig5", "openjdk-*-jre-headless"),
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libssl3*", "libblake3-0"),
    *("libgrpc*", "libabsl*", "libprotobuf[0-9]*", "libcares2", "libre2-*"),
    *("velocity", "lib*-java"),
)
LEFT_OUT = (
    *("bazel-stardoc", "*-dev", "libeclipse-jdt-*"),
    *("libmaven*", "libwagon*", "libplexus*", "libsisu*", "libguice-java", "libjgit-java"),
    *("libjetty*", "libjackson2*", "liblog4j2*", "libhttp*", "libjavaparser-java"),
    *("libbcprov-java", "libjacoco-java", "libjsch-java", "libjzlib-java", "libjctools-java"),
)
"""Of all that the packages depend on, what a Bazel that builds no Java does without."""

NOT_UNPACKED = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/include")

EMPTY_MODULES = ("protobuf", "zlib", "buildozer", "apple_support")
"""Modules that Bazel's own tools name and these builds never load."""

BAZEL = "usr/share/bazel"


class PrefixError(Exception):
    """There is no Bazel to be had, and why."""


def make_prefix(prefix: Path, suites: tuple[str, ...] = SUITES) -> str:
    """Make ``prefix`` anew from the first of ``suites`` that gives a Bazel; return its version."""
    problems = []
    for suite in suites:
        try:
            return _make_from(suite, prefix)
        except PrefixError as error:
            problems.append(f"{suite}: {error}")
    raise PrefixError("\n".join(problems))


def _make_from(suite: str, prefix: Path) -> str:
    shutil.rmtree(prefix, ignore_errors=True)
    unpack_packages(prefix, suite, WANTED, KEPT, LEFT_OUT)
    java = next(prefix.glob("usr/lib/jvm/java-[0-9][0-9]-openjdk-*"))
    _relocate_programs(prefix, java)
    _relocate_links(prefix)
    _complete_server(prefix / BAZEL, prefix)
    _write_rc(prefix, java)
    _write_commands(prefix)
    return _version(prefix)


def unpack_packages(
    prefix: Path,
    suite: str,
    wanted: tuple[str, ...],
    kept: tuple[str, ...],
    left_out: tuple[str, ...] = (),
) -> None:
    """Unpack packages of a suite, and those that they depend on, chosen by patterns of names.

    Raises:
        PrefixError: the suite has them not.

    """
    with _private_apt(prefix / "apt", suite) as apt:
        apt.download(prefix / "debs", wanted, kept, left_out)
    for package in sorted((prefix / "debs").iterdir()):
        _unpack(package, prefix)
    shutil.rmtree(prefix / "debs")


def _version(prefix: Path) -> str:
    """Start its server once: what does not come up is not a Bazel."""
    scratch = prefix / "scratch"
    folder = scratch / "workspace"
    folder.mkdir(parents=True)
    (folder / "MODULE.bazel").touch()
    bazel = (prefix / "bin/bazel", f"--output_user_root={scratch / 'out'}", "--nohome_rc")
    release = run(*bazel, "info", "release", cwd=folder)
    run(*bazel, "shutdown", cwd=folder)
    run("chmod", "-R", "u+w", scratch)
    shutil.rmtree(scratch)
    return release.strip()


# -- packages ----------------------------------------------------------------------------------


class _Apt:
    """apt with lists, cache and state of its own, and no word from the machine but the mirror."""

    def __init__(self, configuration: Path) -> None:
        self._env = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}

    def download(
        self,
        folder: Path,
        wanted: tuple[str, ...],
        kept: tuple[str, ...],
        left_out: tuple[str, ...],
    ) -> None:
        """Put the packages that are needed, and nothing else, into ``folder``."""
        self._get("update")
        plan = self._get("install", "--print-uris", *wanted)
        names = re.findall(r"^'[^']+' ([^_]+)_\S+ \d+", plan, re.MULTILINE)
        chosen = [name for name in names if _matches(name, kept) and not _matches(name, left_out)]
        folder.mkdir()
        self._get("download", *chosen, cwd=folder)

    def _get(self, *words: str, cwd: Path | None = None) -> str:
        return run("apt-get", "--quiet=2", *words, env=self._env, cwd=cwd)


@contextlib.contextmanager
def _private_apt(folder: Path, suite: str) -> Iterator[_Apt]:
    for below in ("lists/partial", "archives/partial", "parts"):
        (folder / below).mkdir(parents=True)
    (folder / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources.list").write_text(f"deb [signed-by={keys}] {_mirror()} {suite} main\n")
    settings = {
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Cache::archives": folder / "archives",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::Etc::preferences": folder / "none",
        "Dir::Etc::preferencesparts": folder / "parts",
        # a mirror that stands still outlives the validity of its release files
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    configuration = folder / "apt.conf"
    configuration.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    yield _Apt(configuration)
    shutil.rmtree(folder)


def _mirror() -> str:
    """Where this machine gets Debian's main archive from."""
    folder = Path("/etc/apt/sources.list.d")
    for file in (folder / "debian.sources", Path("/etc/apt/sources.list"), *folder.glob("*.list")):
        text = file.read_text() if file.is_file() else ""
        for pattern in (r"^URIs:\s*(\S+)", r"^deb\s+(?:\[[^]]*\]\s*)?(\S+)"):
            if found := re.search(pattern, text, re.MULTILINE):
                return found[1]
    raise PrefixError("no source of Debian's packages in /etc/apt")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _unpack(package: Path, prefix: Path) -> None:
    skipped = [f"--exclude={path}" for path in NOT_UNPACKED]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        run("tar", "--extract", "--directory", prefix, *skipped, stdin=deb.stdout)
    if deb.returncode:
        raise PrefixError(f"dpkg-deb cannot read {package.name}")


# -- making it run from where it is ----------------------------------------------------------------


def _relocate_programs(prefix: Path, java: Path) -> None:
    """Let programs take loader and libraries from the prefix; what they load does so too."""
    own = [prefix / "usr/bin/bazel", prefix / "usr/bin/jq", *prefix.glob("usr/libexec/*/bazel/*")]
    relocate(prefix, *own, java / "bin/java", java / "lib/jspawnhelper")
    # the JNI library within Bazel's jar wants the newer C++ library, which java does not load
    run("patchelf", "--add-needed", "libstdc++.so.6", java / "bin/java")


def relocate(prefix: Path, *programs: Path) -> None:
    """Let programs take loader and libraries from the prefix."""
    libraries = next(prefix.glob("usr/lib/*-linux-gnu/libc.so.6")).parent
    loader = next(libraries.glob("ld-linux-*.so.*"))
    search = f"{libraries}:$ORIGIN:$ORIGIN/../lib"
    for program in programs:
        wanted = ("--set-interpreter", loader, "--force-rpath", "--set-rpath", search)
        run("patchelf", *wanted, program)


def _relocate_links(prefix: Path) -> None:
    for folder in (prefix / "usr/lib/jvm", prefix / "usr/share"):
        for link in [path for path in folder.rglob("*") if path.is_symlink()]:
            target = link.readlink()
            if target.parts[:2] in {("/", "etc"), ("/", "usr")}:
                link.unlink()
                link.symlink_to(prefix / target.relative_to("/"))


def _complete_server(bazel: Path, prefix: Path) -> None:
    """Give the server its class path, from the prefix, and the version that the package lacks."""
    listed = bazel / "bazel_classpath_debian_depends.txt"
    jars = _closure(prefix, listed.read_text().split())
    listed.write_text("".join(f"{prefix}{jar}\n" for jar in jars))
    label = (bazel / "build-label.txt").read_text().strip()
    with zipfile.ZipFile(bazel / "A-server.jar", "a") as server:
        server.writestr("build-data.properties", f"build.label={label}\n")


def _closure(prefix: Path, jars: list[str]) -> list[str]:
    """The jars and those that their manifests name, which would be searched outside the prefix."""
    found: dict[str, None] = {}
    waiting = list(jars)
    while waiting:
        jar = waiting.pop(0)
        file = Path(f"{prefix}{jar}")
        if jar in found or not file.is_file():
            continue
        found[jar] = None
        # relative names count from the jar's folder
        waiting += [os.path.normpath(f"{Path(jar).parent / name}") for name in _class_path(file)]
    return list(found)


def _class_path(jar: Path) -> list[str]:
    try:
        with zipfile.ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode()
    except KeyError:
        return []
    # lines of a manifest go on in lines that begin with a blank
    text = re.sub(r"\r?\n ", "", manifest)
    return " ".join(re.findall(r"^Class-Path:(.*)$", text, re.MULTILINE)).split()


def _write_rc(prefix: Path, java: Path) -> None:
    packaged = (prefix / "etc/bazel/bazelrc").read_text()
    lines = [
        f"startup --install_base={prefix / BAZEL} --trust_install_base --server_javabase={java}",
        # what a WORKSPACE brings by default would be downloaded
        "common --noenable_workspace",
        # no registry is asked for modules, so there is nothing to lock
        "common --lockfile_mode=off",
    ]
    for module, path in re.findall(r"--override_module=(\w+)=/(\S+)", packaged):
        lines.append(f"common --override_module={module}={prefix / path}")
    for module in EMPTY_MODULES:
        folder = prefix / "modules" / module
        folder.mkdir(parents=True)
        (folder / "MODULE.bazel").write_text(f'module(name = "{module}")\n')
        (folder / "BUILD.bazel").touch()
        lines.append(f"common --override_module={module}={folder}")
    (prefix / "bazelrc").write_text("\n".join(lines) + "\n")


def _write_commands(prefix: Path) -> None:
    programs = {
        "bazel": ("usr/bin/bazel", "--nosystem_rc", f"--bazelrc={prefix / 'bazelrc'}"),
        "jq": ("usr/bin/jq",),
    }
    (prefix / "bin").mkdir()
    for name, (program, *flags) in programs.items():
        command = prefix / "bin" / name
        words = shlex.join([str(prefix / program), *flags])
        command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        command.chmod(0o755)


def run(
    *argv: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: object = subprocess.DEVNULL,
) -> str:
    """Standard output of a command; PrefixError with what it said when it fails."""
    pipe = subprocess.PIPE
    try:
        done = subprocess.run(
            list(map(str, argv)), check=False, env=env, cwd=cwd, stdin=stdin, stdout=pipe,
            stderr=pipe, text=True,
        )  # type: ignore[call-overload]  # fmt: skip
    except FileNotFoundError as error:
        raise PrefixError(f"{argv[0]} is not installed") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise PrefixError(f"{Path(argv[0]).name}: exit code {done.returncode}\n{said}")
    return str(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bazel_prefix", description=__doc__)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("suite", nargs="*", default=SUITES)
    options = parser.parse_args()
    try:
        version = make_prefix(options.prefix.absolute(), tuple(options.suite))
    except PrefixError as error:
        sys.stderr.write(f"runcommit: no Bazel: {error}\n")
        return 1
    sys.stderr.write(f"Bazel {version} in {options.prefix}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
