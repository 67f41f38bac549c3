"""``runcommit run --explain``."""

from __future__ import annotations

import json
from typing import Any

import click

from runcommit_core.explanation.explain import explain
from runcommit_core.explanation.model import as_json as explanation_as_json
from runcommit_core.mouth.plain import LONGEST, listed


def print_explanation(arguments: dict[str, Any], *, as_json: bool) -> None:
    """Print what ``run_commit`` would do with these arguments, as text for a shell or as JSON."""
    explanation = explain(**arguments)
    shown = json.dumps(explanation_as_json(explanation)) if as_json else str(explanation)
    click.echo(shown if as_json else listed(shown, LONGEST**2))


def print_extraction(arguments: dict[str, Any], *, as_json: bool) -> None:
    """Print what ``run_extract`` would do with these arguments."""
    from runcommit_core.request.extraction import extraction

    own = {name: arguments.pop(name) for name in ("paths", "tar", "to", "places")}
    print_explanation({**arguments, "extraction": extraction(**own)}, as_json=as_json)
