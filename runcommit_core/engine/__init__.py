"""Reaching an engine: processes, the ways that images travel, reading what it left on disk."""
