"""A small DCGAN for images, whose critic has no batch normalisation and no blind pixel.

References:
  Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional
  Generative Adversarial Networks, 2015, arXiv 1511.06434 (the weights' start, the slopes, batch
  normalisation).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Conv, Dense, Flatten, Layer, Pointwise
from wgan_jax.networks.convolution import check_image_shape, conv, conv_transpose, leaky_relu
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.types import Pair, Params

_KERNEL_INIT = nn.initializers.normal(0.02)


def _batch_norm(train: bool) -> nn.BatchNorm:
  return nn.BatchNorm(use_running_average=not train, momentum=0.9, scale_init=_scale_init)


def _scale_init(key, shape, dtype=jnp.float32):
  return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class DCGANCritic(nn.Module):
  """DCGAN critic: two 4x4/2 convolutions, `width` and 2 `width` channels, then a linear score."""

  width: int

  @nn.compact
  def __call__(self, image: jax.Array) -> jax.Array:
    x = leaky_relu(conv(self.width, 4, 2, kernel_init=_KERNEL_INIT)(image))
    x = leaky_relu(conv(2 * self.width, 4, 2, kernel_init=_KERNEL_INIT)(x))
    return nn.Dense(1, kernel_init=_KERNEL_INIT)(x.ravel())[0]


def critic_layers(params: Params) -> list[Layer]:
  """Lists the layers, input to output, of two 4x4/2 convolutions with dense layers after them."""
  activation = Pointwise(leaky_relu, 1.0)
  layers = [
    Conv(**params["Conv_0"], stride=(2, 2), padding="SAME"),
    activation,
    Conv(**params["Conv_1"], stride=(2, 2), padding="SAME"),
    activation,
    Flatten(),
    Dense(**params["Dense_0"]),
  ]
  if "Dense_1" in params:
    layers += [activation, Dense(**params["Dense_1"])]
  return layers


class DCGANGenerator(nn.Module):
  """DCGAN generator: a dense layer, then two transposed 4x4/2 convolutions and tanh.

  A layer before a normalisation has no bias: its true gradient would be zero, and Adam would turn
  the rounding noise there into drift. Without normalisation every layer has one.
  """

  image_shape: tuple[int, int, int]
  width: int
  batch_norm: bool = True

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool) -> jax.Array:
    height, width, channels = self.image_shape
    options = {"use_bias": not self.batch_norm, "kernel_init": _KERNEL_INIT}
    x = nn.Dense(height // 4 * (width // 4) * 2 * self.width, **options)(latents)
    x = x.reshape(-1, height // 4, width // 4, 2 * self.width)
    x = nn.relu(_batch_norm(train)(x) if self.batch_norm else x)
    x = conv_transpose(self.width, 4, 2, **options)(x)
    x = nn.relu(_batch_norm(train)(x) if self.batch_norm else x)
    return nn.tanh(conv_transpose(channels, 4, 2, kernel_init=_KERNEL_INIT)(x))


def dcgan(
  image_shape: tuple[int, int, int], *, latent_dim: int, width: int, batch_norm: bool = True
) -> Pair:
  """Makes a convolutional pair for images in [-1, 1].

  Weights start at N(0, 0.02), the scales of the generator's normalisations at N(1, 0.02).

  Args:
    image_shape: (height, width, channels); height and width are multiples of 4.
    latent_dim: the size of the latent.
    width: channels of the critic's first layer and of the generator's last hidden one.
    batch_norm: whether the generator normalises its hidden layers. If not, they have biases, and
      there are no batch statistics.

  Returns:
    The pair.

  Raises:
    ValueError: the image's height or width is not a multiple of 4.
  """
  check_image_shape(image_shape)
  return Pair(
    critic=as_critic(DCGANCritic(width), jnp.zeros(image_shape), critic_layers),
    generator=as_generator(DCGANGenerator(image_shape, width, batch_norm), latent_dim),
    latent_dim=latent_dim,
  )
