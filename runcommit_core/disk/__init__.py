"""What the file system must do for us: places that can be trusted, exchanges that can be undone."""
