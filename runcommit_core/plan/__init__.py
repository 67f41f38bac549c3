"""From a request to one job: its base, its backend, its place."""
