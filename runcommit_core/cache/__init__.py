"""Results of earlier runs: found by what went into them, in a folder or shared."""
