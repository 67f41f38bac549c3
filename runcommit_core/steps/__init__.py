"""The core's own steps, and how every step is called."""
