"""Write the pages of docs/reference that are made from the sources.

``.venv/bin/python scripts/reference [FOLDER]``; a test tells when that was forgotten.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bazel_page
import cli_page
import errors_page
import hooks_page
import job_schema
import schemas_page

REFERENCE = Path(__file__).parents[2] / "docs/reference"
PAGES = {
    # the page about schemas reads this one as well
    "job.schema.json": job_schema.schema,
    "bazel.md": bazel_page.page,
    "cli.md": cli_page.page,
    "errors.md": errors_page.page,
    "hooks.md": hooks_page.page,
    "schemas.md": schemas_page.page,
}


def main() -> None:
    """Write the pages into the folder that is given, else where they belong."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE
    for name, page in PAGES.items():
        (folder / name).write_text(page())


if __name__ == "__main__":
    main()
