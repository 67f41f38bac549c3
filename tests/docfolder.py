"""What a page of the documentation takes for granted: a base, sources, programs.

No registry is asked and no package installed: for what the pages call in the base, and for ``pip``
and ``apt`` beside it, there are stand-ins.  ``runcommit`` and the engines are the real ones.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from runcommit_core.testing.bases import EPOCH, busybox_layer, file_layer, write_layout
from tests import tars
from tests.docblocks import TOP

if TYPE_CHECKING:
    from pathlib import Path

# What the pages call inside of a base; it makes what its namesake would.
APT_GET = """\
#!/bin/sh -e
[ "$1" = install ] || exec mkdir -p /var/lib/apt/lists
shift
for name; do
  case $name in -*) continue ;; esac
  mkdir -p "/usr/share/doc/$name"
  echo "$name" | tee "/usr/bin/$name" >"/usr/share/doc/$name/copyright"
  chmod 755 "/usr/bin/$name"
  [ "$name" != sudo ] || chmod 4755 /usr/bin/sudo
  {
    printf 'Package: %s\\nVersion: 1\\n' "$name"
    printf 'Status: install ok installed\\nArchitecture: all\\n\\n'
  } >>/var/lib/dpkg/status
done
"""
MAKE = "#!/bin/sh -e\nmkdir -p /usr/local/bin\necho made >/usr/local/bin/tool\n"
PIP_IN_BASE = "#!/bin/sh -e\nmkdir -p /wheels\necho wheel >/wheels/tool-1-py3-none-any.whl\n"
LDCONFIG = "#!/bin/sh -e\necho cache >/etc/ld.so.cache\n"

# What the pages call on the machine, without a registry and without changing the machine.
PIP = f"""\
#!/bin/sh -e
for word; do
  shift
  case $word in
    --editable) editable=yes && continue ;;
    runcommit-*) word={TOP}/examples/plugins/${{word#runcommit-}} ;;
    .*) word=. ;;
  esac
  set -- "$@" "$word"
done
python -m pip -qq --disable-pip-version-check "$@" --upgrade \\
  --no-deps --no-index --no-build-isolation --target "$PYTHONPATH"
for package in ${{editable:+*/__init__.py}}; do
  rm -r "$PYTHONPATH/${{package%/*}}"
  ln -s "$PWD/${{package%/*}}" "$PYTHONPATH/"
done
"""
APT = '#!/bin/sh -e\n[ "$1" = install ]\nshift\nexec dpkg-query --status "$@" >/dev/null\n'


def furnish(folder: Path, page: Path) -> None:
    """Lay out what pages take for granted: a base by its two names, sources, a script, two layers.

    The page of an example lies among the files of that example.
    """
    if page.parent.is_relative_to(TOP / "examples"):
        shutil.copytree(page.parent, folder, dirs_exist_ok=True)
    (folder / "examples").symlink_to(TOP / "examples")
    base = write_layout(folder / "base", [busybox_layer(), _system()])
    (folder / "BASE").symlink_to(base.path)
    (folder / "deps").mkdir()
    (folder / "deps/one").write_text("1")
    _script(folder / "setup.sh", "#!/bin/sh -e\necho set up >/etc/setup\n")
    for name in ("a.tar", "b.tar"):
        (folder / name).write_bytes(file_layer("a", b"a"))
    (folder / "programs").mkdir()
    _script(folder / "programs/pip", PIP)
    _script(folder / "programs/apt", APT)


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _system() -> bytes:
    places = ("opt", "srv", "usr", "usr/bin", "usr/share", "usr/share/doc", "usr/share/doc/bash")
    files = (b"usr/share/doc/bash/copyright", b"var/lib/dpkg/status")
    programs = {b"apt-get": APT_GET, b"make": MAKE, b"pip": PIP_IN_BASE, b"ldconfig": LDCONFIG}
    return tars.tar(
        *(tars.directory(name.encode(), mtime=EPOCH) for name in places),
        *(tars.Member(name, mtime=EPOCH) for name in files),
        *(
            tars.Member(b"bin/" + name, content=text.encode(), mode=0o755)
            for name, text in programs.items()
        ),
    )
