"""Critics and generators in Flax: the only place that knows Flax."""

from wgan_jax.networks.dcgan import dcgan
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.networks.mlp import mlp

__all__ = ["as_critic", "as_generator", "dcgan", "mlp"]
