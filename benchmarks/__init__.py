"""Timings of the product, each against a target or a peer of the same run; results in docs/benchmarks.md."""
