"""The command line: results on stdout, all else on stderr, an exit code per kind of error."""

from runcommit_core.cli.main import main

__all__ = ["main"]
