"""Brings a new school in: what its files are, what it is told, and what its sample must give."""
