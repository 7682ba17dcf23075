"""Claims on benchmarks around the papers."""
