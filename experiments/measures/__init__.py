"""What is measured of samples, critics and training."""
