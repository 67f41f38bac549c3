"""The program, started by Bazel's launcher for Python."""
# ruff: noqa: INP001  (a program of Bazel, not of a package)

from runcommit_core.cli import main

main()
