"""A DCGAN for images of 16 to 128 pixels, whose critic has no batch normalisation, no blind pixel.

References:
  Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional
  Generative Adversarial Networks, 2015, arXiv 1511.06434 (the weights' start, the slopes, batch
  normalisation).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Conv, Dense, Flatten, Layer, Pointwise
from wgan_jax.networks.conditional import check_conditional, make_pair, normalize, score
from wgan_jax.networks.convolution import conv, conv_transpose, crop, image_sizes, leaky_relu
from wgan_jax.types import Pair, Params

_KERNEL_INIT = nn.initializers.normal(0.02)
_MOST = 8  # Channels, as a multiple of `width`.


def _scale_init(key, shape, dtype=jnp.float32):
  return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def _channels(width, stages):
  """Channels after each of the critic's stages: twice as many at each, up to `_MOST` widths."""
  return [width * min(2**i, _MOST) for i in range(stages)]


class DCGANCritic(nn.Module):
  """DCGAN critic: 4x4/2 convolutions of `width`, 2 `width`, ... channels, then a linear score."""

  width: int
  n_classes: int = 0
  conditional: str = "none"

  @nn.compact
  def __call__(self, image: jax.Array, *label: jax.Array):
    x = image
    for channels in _channels(self.width, len(image_sizes(image.shape)) - 1):
      x = leaky_relu(conv(channels, 4, 2, kernel_init=_KERNEL_INIT)(x))
    return score(
      x.ravel(),
      *label,
      conditional=self.conditional,
      n_classes=self.n_classes,
      kernel_init=_KERNEL_INIT,
    )


def critic_layers(params: Params) -> list[Layer]:
  """Lists the layers, input to output, of any 4x4/2 convolutions with dense layers after them.

  An auxiliary classifier is no part of the score, and not in the list.
  """
  activation = Pointwise(leaky_relu, 1.0)
  layers = []
  for i in range(sum(name.startswith("Conv_") for name in params)):
    layers += [Conv(**params[f"Conv_{i}"], stride=(2, 2), padding="SAME"), activation]
  layers.append(Flatten())
  for i in range(sum(name.startswith("Dense_") for name in params)):
    layers += [Dense(**params[f"Dense_{i}"]), activation]
  return layers[:-1]


class DCGANGenerator(nn.Module):
  """DCGAN generator: a dense layer, then transposed 4x4/2 convolutions and tanh.

  Each of these doubles the image, less a last row or column where the next size is odd. A layer
  before a normalisation has no bias: its true gradient would be zero, and Adam would turn the
  rounding noise there into drift. Without normalisation every layer has one.
  """

  image_shape: tuple[int, int, int]
  width: int
  batch_norm: bool = True
  n_classes: int = 0

  @nn.compact
  def __call__(self, latents: jax.Array, *labels_and_train) -> jax.Array:
    *labels, train = labels_and_train
    start, *sizes = image_sizes(self.image_shape)
    *hidden, first = _channels(self.width, len(sizes))
    options = {"use_bias": not self.batch_norm, "kernel_init": _KERNEL_INIT}
    norm = {"train": train, "n_classes": self.n_classes, "scale_init": _scale_init}

    def finish(x):
      return nn.relu(normalize(x, *labels, **norm) if self.batch_norm else x)

    x = nn.Dense(start[0] * start[1] * first, **options)(latents)
    x = finish(x.reshape(-1, *start, first))
    for channels, size in zip(hidden[::-1], sizes[:-1], strict=True):
      x = finish(crop(conv_transpose(channels, 4, 2, **options)(x), size))
    x = conv_transpose(self.image_shape[2], 4, 2, kernel_init=_KERNEL_INIT)(x)
    return nn.tanh(crop(x, sizes[-1]))


def dcgan(
  image_shape: tuple[int, int, int],
  *,
  latent_dim: int,
  width: int,
  batch_norm: bool = True,
  n_classes: int = 0,
  conditional: str = "none",
) -> Pair:
  """Makes a convolutional pair for images in [-1, 1].

  Each network has floor(log2(s / 4)) strided convolutions for a shorter side of s pixels: 2 for
  28, 3 for 32, 5 for 128. Weights start at N(0, 0.02), the scales of the generator's
  normalisations at N(1, 0.02).

  Args:
    image_shape: (height, width, channels), of 16 to 128 pixels; odd and not square is allowed.
    latent_dim: the size of the latent.
    width: channels of the critic's first layer and of the generator's last hidden one. They double
      with each halving of the image, up to 8 times as many.
    batch_norm: whether the generator normalises its hidden layers. If not, they have biases, and
      there are no batch statistics.
    n_classes: the number of classes of a conditional pair.
    conditional: what the critic does with the class of an image, one of
      `wgan_jax.networks.CONDITIONAL`.

  Returns:
    The pair. With "projection" its `critic.layers` is None: the score is that of a class.

  Raises:
    ValueError: the image's height or width is not 16 to 128, `conditional` and `n_classes` do not
      go together, or a conditional pair is to have no normalisation, which is what takes the class.
  """
  image_sizes(image_shape)
  check_conditional(conditional, n_classes)
  if n_classes and not batch_norm:
    raise ValueError(
      f"conditional={conditional!r} needs batch_norm=True: the generator's normalisations take the"
      " class"
    )
  return make_pair(
    DCGANCritic(width, n_classes, conditional),
    DCGANGenerator(image_shape, width, batch_norm, n_classes),
    image_shape,
    latent_dim=latent_dim,
    n_classes=n_classes,
    conditional=conditional,
    layers=critic_layers,
  )
