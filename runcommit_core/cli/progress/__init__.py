"""How the command line shows a job's progress: live, as plain lines, as JSON, or not at all."""

from runcommit_core.cli.progress.choice import MODES, reporting
from runcommit_core.cli.progress.reporter import Reporter

__all__ = ["MODES", "Reporter", "reporting"]
