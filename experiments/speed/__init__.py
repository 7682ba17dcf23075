"""The benchmark's rows, and how they are timed."""
