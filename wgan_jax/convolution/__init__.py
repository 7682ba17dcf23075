"""Convolutions as matrix products, with the signature of `jax.lax`."""
