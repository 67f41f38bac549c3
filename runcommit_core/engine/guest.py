"""A module of a backend's, called by a Python that knows ours alone."""

from __future__ import annotations

import sys
from importlib import import_module, machinery, util


def main(folder: str, module: str, *words: str) -> int:
    """Call ``main`` of ``module``, whose package lies in ``folder``, with ``words``; its answer.

    Nothing else is looked for in that folder.  Raises LookupError where there is none.
    """
    spec = machinery.PathFinder.find_spec(module.partition(".")[0], [folder])
    if spec is None or spec.loader is None:
        raise LookupError(f"there is no {module} in {folder}")
    package = sys.modules[spec.name] = util.module_from_spec(spec)
    spec.loader.exec_module(package)
    code: int = import_module(module).main(*words)
    return code
