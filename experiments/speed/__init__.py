"""The benchmark: its rows, how they are timed, and the PyTorch that they are compared with."""
