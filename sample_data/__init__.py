"""Invented schools for demos and tests: the same people, files and bytes at every run."""
