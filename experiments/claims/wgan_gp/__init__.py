"""Claims of Improved Training of Wasserstein GANs."""
