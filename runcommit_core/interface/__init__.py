"""What backends and plugins see: the values of the pipeline, its steps and its events."""
