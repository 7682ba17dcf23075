"""The launchers, run from a clone: `python -m experiments.<name>`."""
