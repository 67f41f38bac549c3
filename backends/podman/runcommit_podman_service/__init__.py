"""The way to podman's service, for both of podman's backends."""
