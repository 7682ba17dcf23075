"""The convolutional pair with dense layers and a categorical code of InfoGAN, made narrow.

A generator that is continuous in its latents must draw something between two digits. One that is
told a category as well need not: each category has its own piece of the data [2]. The networks are
those of InfoGAN [1]; its mutual information is not maximised, so that a category is whatever the
generator makes of it.

References:
  [1] Chen et al., InfoGAN: Interpretable Representation Learning by Information Maximizing
    Generative Adversarial Nets, 2016, arXiv 1606.03657, appendix C.1, table 1.
  [2] Khayatkhoei, Elgammal and Singh, Disconnected Manifold Learning for Generative Adversarial
    Networks, 2018, arXiv 1806.00880.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.networks.convolution import check_image_shape, conv, conv_transpose, leaky_relu
from wgan_jax.networks.dcgan import critic_layers
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.types import Pair

_KERNEL_INIT = nn.initializers.he_normal()
_HIDDEN = 16  # Units of the hidden dense layers, for each channel of `width`.
# The one-hot code's entry. At 1 it would be lost among the normal latents, and at 3 nearly so.
_CODE = 10.0


class InfoGANCritic(nn.Module):
  """Two 4x4/2 convolutions, `width` and 2 `width` channels, a hidden dense layer, a linear score.

  It has no batch normalisation, which would couple the samples.
  """

  width: int

  @nn.compact
  def __call__(self, image: jax.Array) -> jax.Array:
    x = leaky_relu(conv(self.width, 4, 2, kernel_init=_KERNEL_INIT)(image))
    x = leaky_relu(conv(2 * self.width, 4, 2, kernel_init=_KERNEL_INIT)(x))
    x = leaky_relu(nn.Dense(_HIDDEN * self.width, kernel_init=_KERNEL_INIT)(x.ravel()))
    return nn.Dense(1, kernel_init=_KERNEL_INIT)(x)[0]


class InfoGANGenerator(nn.Module):
  """A category and normal latents, two dense layers, two transposed 4x4/2 convolutions, tanh.

  The first `n_categories` latents only choose the category: that of the largest. All are equally
  likely. A layer before a normalisation has no bias, which would do nothing there.
  """

  image_shape: tuple[int, int, int]
  width: int
  n_categories: int

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool) -> jax.Array:
    height, width, channels = self.image_shape
    options = {"use_bias": False, "kernel_init": _KERNEL_INIT}

    def finish(x):
      return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))

    category = jnp.argmax(latents[:, : self.n_categories], axis=1)
    code = _CODE * jax.nn.one_hot(category, self.n_categories, dtype=latents.dtype)
    x = jnp.concatenate([code, latents[:, self.n_categories :]], axis=1)
    x = finish(nn.Dense(_HIDDEN * self.width, **options)(x))
    x = nn.Dense(height // 4 * (width // 4) * 2 * self.width, **options)(x)
    x = finish(x.reshape(-1, height // 4, width // 4, 2 * self.width))
    x = finish(conv_transpose(self.width, 4, 2, **options)(x))
    return nn.tanh(conv_transpose(channels, 4, 2, kernel_init=_KERNEL_INIT)(x))


def infogan(
  image_shape: tuple[int, int, int], *, latent_dim: int, width: int, n_categories: int = 32
) -> Pair:
  """Makes the pair for images in [-1, 1]. Weights start He-normal.

  Args:
    image_shape: (height, width, channels); height and width are multiples of 4.
    latent_dim: the normal latents beside the category. The pair's own `latent_dim` is larger by
      `n_categories`.
    width: channels of the critic's first layer and of the generator's last hidden one. Hidden dense
      layers have 16 times as many units.
    n_categories: how many categories there are.

  Returns:
    The pair.

  Raises:
    ValueError: the image's height or width is not a multiple of 4.
  """
  check_image_shape(image_shape)
  latent_dim += n_categories
  generator = InfoGANGenerator(image_shape, width, n_categories)
  return Pair(
    critic=as_critic(InfoGANCritic(width), jnp.zeros(image_shape), critic_layers),
    generator=as_generator(generator, latent_dim),
    latent_dim=latent_dim,
  )
