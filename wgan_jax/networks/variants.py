"""Small convolutional pairs of varied architecture, and the networks of the course's exercise.

References:
  [1] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3, table 1
    (what is drawn), section 4 (layer normalisation in the critic), appendix D (`smooth_elu`).
  [2] Radford, Metz and Chintala, 2015, arXiv 1511.06434 (4x4/2 convolutions, the scales' start).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.networks.convolution import check_image_shape, conv, conv_transpose, leaky_relu
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.types import Pair

_HE_NORMAL = nn.initializers.he_normal()
_DCGAN_NORMAL = nn.initializers.normal(0.02)


def smooth_elu(x: jax.Array) -> jax.Array:
  """Smooth ELU, softplus(2 x + 2) / 2 - 1, with a continuous second derivative.

  The gradient penalty's gradient holds second derivatives of the critic. ELU's jumps from 1 to 0
  at 0. This function is 1-Lipschitz and tends to -1 on the left.

  Args:
    x: [...].

  Returns:
    The activations, [...].

  References:
    [1], appendix D.
  """
  return jax.nn.softplus(2 * x + 2) / 2 - 1


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  "relu": nn.relu,
  "leaky_relu": leaky_relu,
  "smooth_elu": smooth_elu,
  "tanh": jnp.tanh,
  "elu": nn.elu,
}
"""Activations by name, all 1-Lipschitz. The first four are those of [1], table 1."""


class VariantCritic(nn.Module):
  """Critic of the family: `depth` convolutions, two of them strided, then a linear score.

  Layer normalisation is over all entries of one sample, and not on the first convolution.
  """

  activation: str
  depth: int
  width: int
  layer_norm: bool

  @nn.compact
  def __call__(self, image: jax.Array) -> jax.Array:
    activation = ACTIVATIONS[self.activation]
    x = image
    for channels in (self.width, 2 * self.width):
      x = conv(channels, 4, 2, kernel_init=_HE_NORMAL)(x)
      if self.layer_norm and channels != self.width:
        x = nn.LayerNorm(reduction_axes=(-3, -2, -1))(x)
      x = activation(x)
      for _ in range(self.depth // 2 - 1):
        x = conv(channels, 3, kernel_init=_HE_NORMAL)(x)
        if self.layer_norm:
          x = nn.LayerNorm(reduction_axes=(-3, -2, -1))(x)
        x = activation(x)
    return nn.Dense(1, kernel_init=_HE_NORMAL)(x.ravel())[0]


class VariantGenerator(nn.Module):
  """Generator of the family: a dense layer, `depth` convolutions (two transposed), tanh."""

  image_shape: tuple[int, int, int]
  activation: str
  depth: int
  width: int
  batch_norm: bool

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool) -> jax.Array:
    height, width, channels = self.image_shape
    size = (height // 4, width // 4, 2 * self.width)
    options = {"use_bias": not self.batch_norm, "kernel_init": _HE_NORMAL}

    def finish(x):
      if self.batch_norm:
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
      return ACTIVATIONS[self.activation](x)

    def refine(x):
      for _ in range(self.depth // 2 - 1):
        x = finish(conv(x.shape[-1], 3, **options)(x))
      return x

    x = nn.Dense(size[0] * size[1] * size[2], **options)(latents)
    x = refine(finish(x.reshape(-1, *size)))
    x = refine(finish(conv_transpose(self.width, 4, 2, **options)(x)))
    return nn.tanh(conv_transpose(channels, 4, 2, kernel_init=_HE_NORMAL)(x))


def variant(
  image_shape: tuple[int, int, int],
  *,
  latent_dim: int,
  activation: str,
  depth: int,
  width: int,
  batch_norm: bool,
  layer_norm: bool,
) -> Pair:
  """Makes one pair of the family, for images in [-1, 1].

  Weights start He-normal. The critic never has batch normalisation, which couples samples.

  Args:
    image_shape: (height, width, channels); height and width are multiples of 4.
    latent_dim: the size of the latent.
    activation: a key of `ACTIVATIONS`, used in all hidden layers of both networks.
    depth: convolutions of each network, even: half of them at each of the two sizes.
    width: channels at half the image's size; twice as many at a quarter.
    batch_norm: whether to normalise the generator's hidden layers over the batch.
    layer_norm: whether to normalise the critic's hidden layers over each sample.

  Returns:
    The pair.

  Raises:
    ValueError: the activation is unknown, the depth is odd or below 2, or the image's height or
      width is not a multiple of 4.

  References:
    [1], table 1.
  """
  if activation not in ACTIVATIONS:
    raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
  if depth < 2 or depth % 2:
    raise ValueError(f"depth must be even and at least 2, got {depth}")
  check_image_shape(image_shape)
  critic = VariantCritic(activation, depth, width, layer_norm)
  generator = VariantGenerator(image_shape, activation, depth, width, batch_norm)
  return Pair(
    critic=as_critic(critic, jnp.zeros(image_shape)),
    generator=as_generator(generator, latent_dim),
    latent_dim=latent_dim,
  )


class PaddedCritic(nn.Module):
  """The exercise's critic, three 4x4/2 convolutions, padded and without batch normalisation.

  On 28 x 28 pixels the last one gives 4 x 4 scores. Their mean is the score.
  """

  width: int

  @nn.compact
  def __call__(self, image: jax.Array) -> jax.Array:
    x = leaky_relu(conv(self.width, 4, 2, kernel_init=_DCGAN_NORMAL)(image))
    x = leaky_relu(conv(2 * self.width, 4, 2, kernel_init=_DCGAN_NORMAL)(x))
    return jnp.mean(conv(1, 4, 2, kernel_init=_DCGAN_NORMAL)(x))


class ExerciseGenerator(nn.Module):
  """The exercise's generator: transposed convolutions, 1 -> 3 -> 6 -> 13 -> 28 pixels, tanh."""

  width: int
  scale_mean: float

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool) -> jax.Array:
    def scale_init(key, shape, dtype=jnp.float32):
      return self.scale_mean + 0.02 * jax.random.normal(key, shape, dtype)

    options = {"padding": "VALID", "kernel_init": _DCGAN_NORMAL}
    x = latents[:, None, None]
    for channels, kernel, stride in [(4, 3, 2), (2, 4, 1), (1, 3, 2)]:
      x = conv_transpose(channels * self.width, kernel, stride, use_bias=False, **options)(x)
      x = nn.BatchNorm(use_running_average=not train, momentum=0.9, scale_init=scale_init)(x)
      x = nn.relu(x)
    return nn.tanh(conv_transpose(1, 4, 2, **options)(x))


def exercise(*, latent_dim: int, width: int, scale_mean: float = 1.0) -> Pair:
  """Makes the pair of the course's exercise for images of 28 x 28 x 1, with a repaired critic.

  The exercise's own critic normalises over the batch, so it cannot be a `Network`. Here it is
  padded, sees every pixel, and maps one sample.

  Args:
    latent_dim: the size of the latent, 64 in the exercise.
    width: channels of the generator's last hidden layer and of the critic's first, 64 there.
    scale_mean: mean of the initial scales of the generator's normalisations, whose deviation is
      0.02: 1 as in [2], 0 as in the exercise.

  Returns:
    The pair.
  """
  return Pair(
    critic=as_critic(PaddedCritic(width), jnp.zeros((28, 28, 1))),
    generator=as_generator(ExerciseGenerator(width, scale_mean), latent_dim),
    latent_dim=latent_dim,
  )
