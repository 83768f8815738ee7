"""The only package whose functions a mapping may name as a hook: pandas frame in, pandas frame out."""
