"""The loopback registry."""
