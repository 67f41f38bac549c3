"""``python floor.py SOURCE TARGET``: read, hash and write, which whoever makes a layer must do."""

import hashlib
import sys
from pathlib import Path

digest = hashlib.sha256()
with Path(sys.argv[1]).open("rb") as source, Path(sys.argv[2]).open("wb") as target:
    while chunk := source.read(1 << 20):
        digest.update(chunk)
        target.write(chunk)
print(digest.hexdigest())
