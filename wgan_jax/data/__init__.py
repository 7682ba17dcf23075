"""Data sets: keyed samplers of toy distributions, and images as arrays."""
