"""The residual networks of the WGAN-GP paper, for images of 16 to 128 pixels.

At 32 x 32 pixels, width 128 and a latent of 128 they are those of [1] for CIFAR-10, less the biases
that a normalisation would undo. Other sizes have more or fewer blocks.

References:
  [1] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3, appendix F,
    and the authors' code (where weights start, which mean pooling is moved before a convolution).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Conv, Dense, Layer, Pointwise, Pool, Sum
from wgan_jax.networks.conditional import check_conditional, make_pair, normalize, score
from wgan_jax.networks.convolution import conv, crop, image_sizes
from wgan_jax.types import Pair, Params

# As in the authors' code: uniform, with variances 2 / fan and 1 / fan, the fan the mean of both.
_HE_UNIFORM = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
_GLOROT_UNIFORM = nn.initializers.glorot_uniform()
_pool = Pool()


def upsample(images: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Doubles images by their nearest pixels, then crops them.

  Args:
    images: [batch, height, width, channels].
    size: the height and width to keep.

  Returns:
    [batch, *size, channels].
  """
  n, height, width, channels = images.shape
  doubled = jnp.broadcast_to(
    images[:, :, None, :, None], (n, height, 2, width, 2, channels)
  ).reshape(n, 2 * height, 2 * width, channels)
  return crop(doubled, size)


class CriticBlock(nn.Module):
  """Residual block of a critic: two 3x3 convolutions, each after a ReLU, and a shortcut.

  Attributes:
    width: channels of the output, and of the input of all blocks but the first.
    down: whether both paths end at half the size, by mean pooling.
    first: whether the block sees the image itself, and so has no ReLU before its first convolution.
  """

  width: int
  down: bool
  first: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    y = conv(self.width, 3, kernel_init=_HE_UNIFORM)(x if self.first else nn.relu(x))
    y = conv(self.width, 3, kernel_init=_HE_UNIFORM)(nn.relu(y))
    if not self.down:
      return x + y
    # Pooling and a convolution by single pixels commute; pooled first, it costs a quarter.
    shortcut = conv(self.width, 1, kernel_init=_GLOROT_UNIFORM)(_pool(x))
    return shortcut + _pool(y)


class ResNetCritic(nn.Module):
  """Residual critic: blocks that halve, two that do not, the mean over all pixels, a dense layer.

  It has no normalisation. Images of 32 x 32 pixels are halved twice, once less than `image_sizes`
  halves them; every image at least once.
  """

  width: int
  n_classes: int = 0
  conditional: str = "none"

  @nn.compact
  def __call__(self, image: jax.Array, *label: jax.Array):
    x = image
    for i in range(max(1, len(image_sizes(image.shape)) - 2)):
      x = CriticBlock(self.width, down=True, first=i == 0)(x)
    for _ in range(2):
      x = CriticBlock(self.width, down=False)(x)
    return score(
      Pool(whole=True)(nn.relu(x)),
      *label,
      conditional=self.conditional,
      n_classes=self.n_classes,
      kernel_init=_GLOROT_UNIFORM,
    )


def critic_layers(params: Params) -> list[Layer]:
  """Lists the layers of a `ResNetCritic`, input to output, without an auxiliary classifier."""
  relu = Pointwise(nn.relu, 1.0)
  layers = []
  for i in range(sum(name.startswith("CriticBlock_") for name in params)):
    convs = params[f"CriticBlock_{i}"]
    first, second, *shortcut = (
      Conv(**convs[name], stride=(1, 1), padding="SAME") for name in sorted(convs)
    )
    block = [*([relu] if i else []), first, relu, second, *([_pool] if shortcut else [])]
    layers.append(Sum(([_pool, *shortcut] if shortcut else [], block)))
  return [*layers, relu, Pool(whole=True), Dense(**params["Dense_0"])]


class GeneratorBlock(nn.Module):
  """Residual block of a generator, to twice the size: two normalised 3x3 convolutions, a shortcut.

  No layer has a bias: it would shift a whole channel, which the normalisations after it undo.

  Attributes:
    width: channels of the input and of the output.
    size: height and width of the output.
    n_classes: the number of classes, if the block is called with labels.
  """

  width: int
  size: tuple[int, int]
  n_classes: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, *labels: jax.Array, train: bool) -> jax.Array:
    def finish(y):
      return nn.relu(normalize(y, *labels, train=train, n_classes=self.n_classes))

    options = {"use_bias": False, "kernel_init": _HE_UNIFORM}
    y = conv(self.width, 3, **options)(upsample(finish(x), self.size))
    y = conv(self.width, 3, **options)(finish(y))
    # Doubling and a convolution by single pixels commute; doubled last, it costs a quarter.
    shortcut = conv(self.width, 1, use_bias=False, kernel_init=_GLOROT_UNIFORM)(x)
    return upsample(shortcut, self.size) + y


class ResNetGenerator(nn.Module):
  """Residual generator: a dense layer, blocks that double, a normalisation, a convolution, tanh.

  Its last normalisation is that of all classes together, as in the authors' code.
  """

  image_shape: tuple[int, int, int]
  width: int
  n_classes: int = 0

  @nn.compact
  def __call__(self, latents: jax.Array, *labels_and_train) -> jax.Array:
    *labels, train = labels_and_train
    start, *sizes = image_sizes(self.image_shape)
    x = nn.Dense(start[0] * start[1] * self.width, kernel_init=_GLOROT_UNIFORM)(latents)
    x = x.reshape(-1, *start, self.width)
    for size in sizes:
      x = GeneratorBlock(self.width, size, self.n_classes)(x, *labels, train=train)
    x = nn.relu(normalize(x, train=train))
    # From many channels to three, columns would hold nine times the input: JAX's own convolution is
    # four times as fast there on a CPU.
    plain = {"conv_general_dilated": jax.lax.conv_general_dilated}
    return nn.tanh(conv(self.image_shape[2], 3, kernel_init=_GLOROT_UNIFORM, **plain)(x))


def resnet(
  image_shape: tuple[int, int, int],
  *,
  latent_dim: int,
  width: int,
  n_classes: int = 0,
  conditional: str = "none",
) -> Pair:
  """Makes the residual pair for images in [-1, 1].

  Weights are uniform: of the convolutions of a block with variance 2 / fan, of all others with
  1 / fan, a layer's fan being the mean of its inputs and outputs. Biases start at 0.

  Args:
    image_shape: (height, width, channels), of 16 to 128 pixels; odd and not square is allowed.
    latent_dim: the size of the latent; 128 in [1].
    width: channels of every hidden layer of both networks; 128 in [1].
    n_classes: the number of classes of a conditional pair.
    conditional: what the critic does with the class of an image, one of
      `wgan_jax.networks.CONDITIONAL`. "acgan" is what [1] has for labelled images.

  Returns:
    The pair. With "projection" its `critic.layers` is None: the score is that of a class.

  Raises:
    ValueError: the image's height or width is not 16 to 128, or `conditional` and `n_classes` do
      not go together.
  """
  image_sizes(image_shape)
  check_conditional(conditional, n_classes)
  return make_pair(
    ResNetCritic(width, n_classes, conditional),
    ResNetGenerator(image_shape, width, n_classes),
    image_shape,
    latent_dim=latent_dim,
    n_classes=n_classes,
    conditional=conditional,
    layers=critic_layers,
  )
