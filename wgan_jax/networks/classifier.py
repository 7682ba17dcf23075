"""A small convolutional classifier, to evaluate generators of images by features and classes.

A distance between its features is not an FID: that name belongs to the features of an Inception
network trained on ImageNet. Figures of two different classifiers do not compare.
"""

import math

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from wgan_jax.networks.convolution import conv
from wgan_jax.types import Params

N_FEATURES = 64

_KERNEL_INIT = nn.initializers.he_normal()
# At full precision an image's features are the same bits at every place in a batch. The Toom-Cook
# algorithm, which this rules out, does not promise that. Nor does a normalisation over a batch.
_OPTIONS = {"kernel_init": _KERNEL_INIT, "precision": "highest"}


class _Classifier(nn.Module):
  """The classifier: convolutions that fit the images, `N_FEATURES` features, linear logits."""

  n_classes: int

  @nn.compact
  def __call__(self, images):
    x = images
    for features, kernel, stride in _layers(images.shape[1:]):
      x = nn.relu(conv(features, kernel, stride, **_OPTIONS)(x))
    x = x.reshape(x.shape[0], -1)
    x = nn.Dense(N_FEATURES, kernel_init=_KERNEL_INIT)(x)
    # With a plain ReLU, half of the features would be zero for every image.
    x = nn.leaky_relu(x, 0.2)
    return x, nn.Dense(self.n_classes)(x)


def is_drawing(image_shape: tuple[int, int, int]) -> bool:
  """Whether images are small and not in colour, such as digits. A smaller network suits them.

  Args:
    image_shape: height, width and channels.
  """
  height, width, channels = image_shape
  return channels != 3 and max(height, width) <= 32


def train_classifier(
  key: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  *,
  n_classes: int,
  n_steps: int,
  batch_size: int = 128,
  learning_rate: float = 2e-3,
) -> Params:
  """Trains a classifier on the cross-entropy by Adam, its learning rate decaying as a cosine to 0.

  Batches are drawn with replacement. Each image is shifted at random along each axis: a drawing by
  up to a pixel, filled with black; any other by up to a sixteenth of its shorter side, filled by
  reflection. Images in colour are also flipped, left to right, half of the time. Every draw is a
  function of (key, step).

  Args:
    key: a PRNG key, for the initial weights, the batches and the shifts.
    images: uint8 [n, height, width, channels]. Under `jit`, pass them as an argument: captured,
      they become a constant.
    labels: integers [n], 0 to `n_classes` - 1.
    n_classes: number of classes; static.
    n_steps: number of updates, at least 1; static.
    batch_size: images per update.
    learning_rate: the learning rate of the first step.

  Returns:
    The parameters.
  """
  chex.assert_rank([images, labels], [4, 1])
  chex.assert_equal_shape_prefix([images, labels], 1)
  chex.assert_type([images, labels], [jnp.uint8, int])
  key_init, key_steps = jax.random.split(key)
  model = _Classifier(n_classes)
  params = model.init(key_init, jnp.zeros((1, *images.shape[1:])))["params"]
  optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps))

  def loss(params, batch, batch_labels):
    logits = classify(params, batch)
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch_labels).mean()

  def step(i, carry):
    params, opt_state = carry
    key_batch, key_augment = jax.random.split(jax.random.fold_in(key_steps, i))
    indices = jax.random.randint(key_batch, (batch_size,), 0, images.shape[0])
    batch = _augment(key_augment, jnp.asarray(images)[indices])
    batch = (2 * batch.astype(jnp.float32) - 255) * (1 / 255)
    gradient = jax.grad(loss)(params, batch, jnp.asarray(labels)[indices])
    updates, opt_state = optimizer.update(gradient, opt_state)
    return optax.apply_updates(params, updates), opt_state

  return lax.fori_loop(0, n_steps, step, (params, optimizer.init(params)))[0]


def classify(params: Params, images: jax.Array) -> jax.Array:
  """Computes the logits of a batch of images.

  Args:
    params: the result of `train_classifier`.
    images: float [n, height, width, channels] in [-1, 1], of the training images' shape. Values
      outside that range are not clipped; their class means nothing.

  Returns:
    Logits, [n, classes].
  """
  return _apply(params, images)[1]


def features(params: Params, images: jax.Array) -> jax.Array:
  """Computes the features of a batch of images: the input of the last layer.

  Args:
    params: the result of `train_classifier`.
    images: as in `classify`.

  Returns:
    Features, [n, N_FEATURES].
  """
  return _apply(params, images)[0]


def _apply(params, images):
  chex.assert_rank(images, 4)
  chex.assert_type(images, float)
  n_classes = params["Dense_1"]["bias"].shape[0]
  return _Classifier(n_classes).apply({"params": params}, images)


def _layers(image_shape):
  """The convolutions of images of a shape: features, kernel and stride of each."""
  if is_drawing(image_shape):
    return [(32, 5, 2), (64, 3, 2), (64, 3, 1)]
  # As many strides of 2 first as bring any image to about 16 x 16, so that the rest costs the same.
  height, width, _ = image_shape
  n_halvings = max(1, round(math.log2(math.sqrt(height * width) / 16)))
  stem = [(max(8, 32 >> (n_halvings - i)), 5, 2) for i in range(1, n_halvings + 1)]
  return [*stem, (48, 3, 1), (96, 3, 2), (96, 3, 1), (128, 3, 2)]


def _augment(key, images):
  """Draws a shift of each image, and whether it is flipped."""
  height, width, channels = images.shape[1:]
  if is_drawing((height, width, channels)):
    return _shift(key, images, 1, "constant")
  key_shift, key_flip = jax.random.split(key)
  images = _shift(key_shift, images, min(height, width) // 16, "reflect")
  if channels != 3:  # The flipped image of a grey one, such as a letter, may be of no class.
    return images
  flipped = jax.random.bernoulli(key_flip, 0.5, (images.shape[0], 1, 1, 1))
  return jnp.where(flipped, images[:, :, ::-1], images)


def _shift(key, images, most, mode):
  """Shifts each image by up to `most` pixels along both axes; `mode` fills, as in `jnp.pad`."""
  n, *shape = images.shape
  margin = (most, most)
  padded = jnp.pad(images, ((0, 0), margin, margin, (0, 0)), mode)
  starts = jax.random.randint(key, (n, 2), 0, 2 * most + 1)
  return jax.vmap(lambda image, start: lax.dynamic_slice(image, (*start, 0), shape))(padded, starts)
