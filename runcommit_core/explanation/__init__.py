"""``--explain``: what a job would do, without doing any of it."""
