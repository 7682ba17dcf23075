"""Pictures of samples, curves and evaluations."""
