"""The convolutional pair with dense layers and a categorical code of InfoGAN, made narrow.

A generator that is continuous in its latents must draw something between two digits. One that is
told a category as well need not: each category has its own piece of the data [2]. The networks are
those of InfoGAN [1]; its mutual information is not maximised, so that a category is whatever the
generator makes of it. Where the data have labels, the class can take the category's place.

References:
  [1] Chen et al., InfoGAN: Interpretable Representation Learning by Information Maximizing
    Generative Adversarial Nets, 2016, arXiv 1606.03657, appendix C.1, table 1.
  [2] Khayatkhoei, Elgammal and Singh, Disconnected Manifold Learning for Generative Adversarial
    Networks, 2018, arXiv 1806.00880.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.networks.conditional import check_conditional, make_pair, normalize, score
from wgan_jax.networks.convolution import check_image_shape, conv, conv_transpose, leaky_relu
from wgan_jax.networks.dcgan import critic_layers
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
  n_classes: int = 0
  conditional: str = "none"

  @nn.compact
  def __call__(self, image: jax.Array, *label: jax.Array):
    x = leaky_relu(conv(self.width, 4, 2, kernel_init=_KERNEL_INIT)(image))
    x = leaky_relu(conv(2 * self.width, 4, 2, kernel_init=_KERNEL_INIT)(x))
    x = leaky_relu(nn.Dense(_HIDDEN * self.width, kernel_init=_KERNEL_INIT)(x.ravel()))
    return score(
      x,
      *label,
      conditional=self.conditional,
      n_classes=self.n_classes,
      kernel_init=_KERNEL_INIT,
    )


class InfoGANGenerator(nn.Module):
  """A category and normal latents, two dense layers, two transposed 4x4/2 convolutions, tanh.

  The first `n_categories` latents only choose the category: that of the largest. All are equally
  likely. With classes there are no such latents: the class asked for is the category, and the
  normalisations take it too. A layer before a normalisation has no bias, which would do nothing
  there.
  """

  image_shape: tuple[int, int, int]
  width: int
  n_categories: int
  n_classes: int = 0

  @nn.compact
  def __call__(self, latents: jax.Array, *labels_and_train) -> jax.Array:
    *labels, train = labels_and_train
    height, width, channels = self.image_shape
    options = {"use_bias": False, "kernel_init": _KERNEL_INIT}

    def finish(x):
      return nn.relu(normalize(x, *labels, train=train, n_classes=self.n_classes))

    category = labels[0] if labels else jnp.argmax(latents[:, : self.n_categories], axis=1)
    code = _CODE * jax.nn.one_hot(category, self.n_categories, dtype=latents.dtype)
    normal = latents if labels else latents[:, self.n_categories :]
    x = jnp.concatenate([code, normal], axis=1)
    x = finish(nn.Dense(_HIDDEN * self.width, **options)(x))
    x = nn.Dense(height // 4 * (width // 4) * 2 * self.width, **options)(x)
    x = finish(x.reshape(-1, height // 4, width // 4, 2 * self.width))
    x = finish(conv_transpose(self.width, 4, 2, **options)(x))
    return nn.tanh(conv_transpose(channels, 4, 2, kernel_init=_KERNEL_INIT)(x))


def infogan(
  image_shape: tuple[int, int, int],
  *,
  latent_dim: int,
  width: int,
  n_categories: int = 32,
  n_classes: int = 0,
  conditional: str = "none",
) -> Pair:
  """Makes the pair for images in [-1, 1]. Weights start He-normal.

  Args:
    image_shape: (height, width, channels); height and width are multiples of 4.
    latent_dim: the normal latents beside the category. Without classes the pair's own `latent_dim`
      is larger by `n_categories`.
    width: channels of the critic's first layer and of the generator's last hidden one. Hidden dense
      layers have 16 times as many units.
    n_categories: how many categories there are; with classes `n_classes`, and this is not used.
    n_classes: the number of classes of a conditional pair.
    conditional: what the critic does with the class of an image, one of
      `wgan_jax.networks.CONDITIONAL`.

  Returns:
    The pair. With "projection" its `critic.layers` is None: the score is that of a class.

  Raises:
    ValueError: the image's height or width is not a multiple of 4, or `conditional` and `n_classes`
      do not go together.
  """
  check_image_shape(image_shape)
  check_conditional(conditional, n_classes)
  if n_classes:
    n_categories = n_classes
  else:
    latent_dim += n_categories
  return make_pair(
    InfoGANCritic(width, n_classes, conditional),
    InfoGANGenerator(image_shape, width, n_categories, n_classes),
    image_shape,
    latent_dim=latent_dim,
    n_classes=n_classes,
    conditional=conditional,
    layers=critic_layers,
  )
