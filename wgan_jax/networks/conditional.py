"""Networks that take a class: the parts that their critics and generators share.

A generator that is told the class has a scale and an offset for each class in its normalisations
[1]. A critic either scores the class together with the image ("projection" [2]), or scores the
image alone and classifies it too ("acgan" [3]).

References:
  [1] Dumoulin, Shlens and Kudlur, A Learned Representation for Artistic Style, 2016,
    arXiv 1610.07629, equation 5 (there of single images; over the batch in [2], appendix A).
  [2] Miyato and Koyama, cGANs with Projection Discriminator, 2018, arXiv 1802.05637, equations 3
    and 4.
  [3] Odena, Olah and Shlens, Conditional Image Synthesis with Auxiliary Classifier GANs, 2017,
    arXiv 1610.09585.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Layer
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.types import Pair, Params

CONDITIONAL = ("none", "projection", "acgan")
"""What a critic does with the class of its sample; "none" for networks that take no class."""


def check_conditional(conditional: str, n_classes: int) -> None:
  """Refuses an unknown kind of critic, and a number of classes that does not go with it.

  Args:
    conditional: the critic's kind, one of `CONDITIONAL`.
    n_classes: the number of classes; 0 with "none", else 2 or more.

  Raises:
    ValueError: as said.
  """
  if conditional not in CONDITIONAL:
    raise ValueError(f"conditional must be one of {', '.join(CONDITIONAL)}, got {conditional!r}")
  if conditional == "none" and n_classes:
    raise ValueError(
      f"networks with conditional='none' take no class: leave n_classes 0, got {n_classes}"
    )
  if conditional != "none" and n_classes < 2:
    raise ValueError(f"conditional={conditional!r} needs n_classes of 2 or more, got {n_classes}")


class ClassBatchNorm(nn.Module):
  """Batch normalisation with a scale and an offset for each class.

  The means and variances are those of the whole batch, whatever the classes of its samples, and
  the running ones are shared by the classes too.

  Attributes:
    n_classes: the number of classes.
    scale_init: draws the scales, a row a class, as an unconditional normalisation's are drawn.
  """

  n_classes: int
  scale_init: Callable[..., jax.Array]

  @nn.compact
  def __call__(self, x: jax.Array, labels: jax.Array, train: bool) -> jax.Array:
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_scale=False, use_bias=False)(
      x
    )
    shape = self.n_classes, x.shape[-1]
    rows = (
      self.param("scale", self.scale_init, shape),
      self.param("bias", nn.initializers.zeros, shape),
    )
    # Chosen by a product: the gradient of a gather adds in no fixed order on a GPU. At full
    # precision a product with zeros and a one is exact.
    chosen = jax.nn.one_hot(labels, self.n_classes, dtype=x.dtype)
    scale, offset = (
      jnp.dot(chosen, row, precision="highest").reshape(-1, *[1] * (x.ndim - 2), shape[1])
      for row in rows
    )
    return x * scale + offset


def normalize(
  x: jax.Array,
  *labels: jax.Array,
  train: bool,
  n_classes: int = 0,
  scale_init: Callable[..., jax.Array] = nn.initializers.ones,
) -> jax.Array:
  """Normalises over the batch, within a Flax module; with labels by `ClassBatchNorm`.

  Args:
    x: [batch, ..., channels].
    *labels: integers [batch], or nothing. A label outside 0 .. n_classes - 1 gives zeros.
    train: whether to use the batch's statistics and move the running ones, momentum 0.9.
    n_classes: the number of classes, with labels.
    scale_init: draws the scales.

  Returns:
    [batch, ..., channels].
  """
  if labels:
    return ClassBatchNorm(n_classes, scale_init)(x, *labels, train)
  return nn.BatchNorm(use_running_average=not train, momentum=0.9, scale_init=scale_init)(x)


def score(
  phi: jax.Array,
  *label: jax.Array,
  conditional: str,
  n_classes: int,
  kernel_init: Callable[..., jax.Array],
) -> jax.Array | tuple[jax.Array, jax.Array]:
  """Ends a critic, within a Flax module: the last dense layer, and what the class adds to it.

  The score of "projection" is linear(phi) + <embedding[label], phi> ([2], equation 3). Embeddings
  are drawn as the weights of the last dense layer are: the class then counts from the first
  update, and weighs no more than the image itself.

  Args:
    phi: the features of one sample, [n].
    *label: its class, an integer [], for "projection"; nothing else. A label outside
      0 .. n_classes - 1 adds nothing.
    conditional: one of `CONDITIONAL`.
    n_classes: the number of classes; 0 with "none".
    kernel_init: draws the weights.

  Returns:
    The score []; with "acgan" the score and the logits [n_classes] of the classes.
  """
  value = nn.Dense(1, kernel_init=kernel_init)(phi)[0]
  if conditional == "acgan":
    return value, nn.Dense(n_classes, kernel_init=kernel_init, name="classes")(phi)
  if conditional == "projection":
    # Products with every embedding, of which one is taken: one matrix product for a whole batch.
    products = nn.Dense(n_classes, use_bias=False, kernel_init=kernel_init, name="projection")(phi)
    value += jnp.sum(products * jax.nn.one_hot(*label, n_classes, dtype=products.dtype))
  return value


def make_pair(
  critic: nn.Module,
  generator: nn.Module,
  image_shape: tuple[int, int, int],
  *,
  latent_dim: int,
  n_classes: int,
  conditional: str,
  layers: Callable[[Params], Sequence[Layer]] | None = None,
) -> Pair:
  """Wraps two Flax modules for images as a pair.

  Args:
    critic: a module that ends with `score`, of the same `conditional` and `n_classes`.
    generator: a module called as `module(latents, train)`, or with classes as
      `module(latents, labels, train)`.
    image_shape: (height, width, channels).
    latent_dim: the size of the latent.
    n_classes: the number of classes; 0 with "none".
    conditional: one of `CONDITIONAL`.
    layers: lists the layers of the critic's unconditional score.

  Returns:
    The pair. With "projection" its `critic.layers` is None: the score is that of a class.
  """
  return Pair(
    critic=as_critic(
      critic,
      jnp.zeros(image_shape),
      None if conditional == "projection" else layers,
      n_classes=n_classes,
      classify=conditional == "acgan",
    ),
    generator=as_generator(generator, latent_dim, n_classes),
    latent_dim=latent_dim,
    n_classes=n_classes,
  )
