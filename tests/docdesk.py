"""Where the blocks of a page run: a shell in a folder, beside an engine of a host."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Self

import jsonschema

from tests.docblocks import TOP, commands, dialogue, shows

if TYPE_CHECKING:
    from tests.docblocks import Block
    from tests.hosts import Host

COMMAND_END = b"\0"

# All of the contract takes two minutes; this much tells backends from each other.
TELLING = "exactly or engines or memory or mounts or stops or transports or not_there"


def _without_network(host: Host, folder: Path) -> dict[str, str]:
    """No page needs a network, and to set one up takes as long as the rest of a job."""
    given = host.env.get("CONTAINERS_CONF")
    if not given:
        return {}
    own = folder / "containers.conf"
    text = Path(given).read_text()
    own.write_text(text.replace("[containers]\n", '[containers]\nnetns = "none"\n'))
    return {"CONTAINERS_CONF": str(own)}


class Desk:
    """A shell in a folder; where it is and what it exports goes on from block to block."""

    def __init__(self, host: Host, folder: Path) -> None:
        env = {
            "PATH": f"{folder}/programs:{Path(host.python).parent}:{host.env['PATH']}",
            "PYTHONPATH": f"{folder}/site",
            "RUNCOMMIT_CACHE_DIR": f"{folder}/cache",
            "RUNCOMMIT_UMOCI_STORE": f"{folder}/store",
            "PYTEST_ADDOPTS": f"-p no:cacheprovider -k '{TELLING}'",
            "TOKEN": "a secret",
            "TZ": "UTC",
            "TERM": "dumb",
            **_without_network(host, folder),
        }
        pipe = subprocess.PIPE
        self._bash = host.popen(
            "bash", env=env, cwd=folder, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bash.stdin.close()
        self._bash.stdout.close()
        self._bash.wait()

    def call(self, command: str) -> tuple[str, int]:
        """Run a command as if it were typed; what it says on both outputs, and its exit code."""
        line = f"{{ {command}\n}} </dev/null; code=$?; printf '\\0%s\\0' $code; (exit $code)\n"
        self._bash.stdin.write(line.encode())
        self._bash.stdin.flush()
        return self._until_end(), int(self._until_end())

    def _until_end(self) -> str:
        said = bytearray()
        while (byte := self._bash.stdout.read(1)) != COMMAND_END:
            assert byte, f"the shell ended: {said.decode()}"
            said += byte
        return said.decode()

    def run(self, block: Block) -> None:
        """Run a block, or read it where it is data; one with a title is a file for what follows."""
        if block.title:
            path = Path(self.call("pwd")[0].strip()) / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        if block.language in READERS:
            READERS[block.language](block)
        elif not block.title:
            RUNNERS[block.language](self, block)


def _shell(desk: Desk, block: Block) -> None:
    for command in commands(block.text):
        output, code = desk.call(command)
        assert code == 0, f"{block.place}: exit code {code}\n{command}\n{output}"


def _console(desk: Desk, block: Block) -> None:
    for command, shown in dialogue(block.text):
        output, _ = desk.call(command)
        assert shows(shown, output, block.varies), (
            f"{block.place}: {command}\nsays\n{output}\nthe page shows\n{shown}"
        )


def _python(desk: Desk, block: Block) -> None:
    output, code = desk.call(f"python - <<'END OF BLOCK'\n{block.text}\nEND OF BLOCK")
    assert code == 0, f"{block.place}: {output}"


def _json(block: Block) -> None:
    document = json.loads(block.text)
    if block.schema:
        schema = json.loads((TOP / "docs/reference" / block.schema).read_bytes())
        jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


def _toml(block: Block) -> None:
    tomllib.loads(block.text)


RUNNERS = {"sh": _shell, "console": _console, "python": _python}
READERS = {"json": _json, "toml": _toml}
