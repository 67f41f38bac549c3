"""Finding backends and plugins, and putting a pipeline together."""
