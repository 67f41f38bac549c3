"""``python -m runcommit_core``: the same as the command ``runcommit``."""

from runcommit_core.cli import main

if __name__ == "__main__":
    main()
