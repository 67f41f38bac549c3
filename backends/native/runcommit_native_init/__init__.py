"""The program that a container of the native backend begins as.

It is started with Python's own library alone (``runcommit_core.isolated``), and small, for each job
waits for it.
"""
