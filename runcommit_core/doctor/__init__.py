"""``runcommit doctor``: what is installed and works, found by trying it."""
