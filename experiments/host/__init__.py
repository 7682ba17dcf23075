"""The machine: files, checkpoints, caches, environment, terminal."""
