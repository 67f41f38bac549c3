"""Files and directories out of the result of a run, without an image."""
