"""Critics and generators in Flax. No other module of the library imports Flax."""

from wgan_jax.networks.dcgan import dcgan
from wgan_jax.networks.infogan import infogan
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.networks.mlp import mlp
from wgan_jax.networks.variants import ACTIVATIONS, exercise, smooth_elu, variant

__all__ = [
  "ACTIVATIONS",
  "as_critic",
  "as_generator",
  "dcgan",
  "exercise",
  "infogan",
  "mlp",
  "smooth_elu",
  "variant",
]
