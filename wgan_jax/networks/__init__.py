"""Critics and generators in Flax. No other module of the library imports Flax."""

from wgan_jax.networks.conditional import CONDITIONAL
from wgan_jax.networks.dcgan import dcgan
from wgan_jax.networks.infogan import infogan
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.networks.mlp import mlp
from wgan_jax.networks.resnet import resnet
from wgan_jax.networks.variants import ACTIVATIONS, exercise, smooth_elu, variant

__all__ = [
  "ACTIVATIONS",
  "CONDITIONAL",
  "as_critic",
  "as_generator",
  "dcgan",
  "exercise",
  "infogan",
  "mlp",
  "resnet",
  "smooth_elu",
  "variant",
]
