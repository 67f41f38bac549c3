"""Reading tars strictly, and writing them canonically."""
