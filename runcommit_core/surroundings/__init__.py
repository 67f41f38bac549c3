"""What a run finds around it and never leaves in the layer: mounts, secrets, limits, platform."""
