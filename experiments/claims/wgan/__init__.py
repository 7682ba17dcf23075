"""Claims of Wasserstein GAN."""
