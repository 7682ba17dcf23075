"""A small convolutional classifier of ten classes, to evaluate generators by features and classes.

A distance between its features is not an FID: that name belongs to the features of an Inception
network trained on ImageNet. Figures of two different classifiers do not compare.
"""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from wgan_jax.networks.convolution import conv
from wgan_jax.types import Params

N_CLASSES = 10
N_FEATURES = 64

_KERNEL_INIT = nn.initializers.he_normal()
# At full precision an image's features are the same bits at every place in a batch. The Toom-Cook
# algorithm, which this rules out, does not promise that.
_OPTIONS = {"kernel_init": _KERNEL_INIT, "precision": "highest"}
_MAX_SHIFT = 1  # Pixels, along each axis.


class _Classifier(nn.Module):
  """The classifier: three convolutions, `N_FEATURES` features, linear logits."""

  @nn.compact
  def __call__(self, images):
    x = nn.relu(conv(32, 5, 2, **_OPTIONS)(images))
    x = nn.relu(conv(64, 3, 2, **_OPTIONS)(x))
    x = nn.relu(conv(64, 3, **_OPTIONS)(x))
    x = x.reshape(x.shape[0], -1)
    x = nn.Dense(N_FEATURES, kernel_init=_KERNEL_INIT)(x)
    # With a plain ReLU, half of the features would be zero for every image.
    x = nn.leaky_relu(x, 0.2)
    return x, nn.Dense(N_CLASSES)(x)


def train_classifier(
  key: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  *,
  n_steps: int,
  batch_size: int = 128,
  learning_rate: float = 2e-3,
) -> Params:
  """Trains a classifier on the cross-entropy by Adam, its learning rate decaying as a cosine to 0.

  Batches are drawn with replacement, and each image is shifted at random by up to a pixel along
  each axis. Every draw is a function of (key, step).

  Args:
    key: a PRNG key, for the initial weights, the batches and the shifts.
    images: uint8 [n, height, width, channels], 0 (background) to 255. Height and width are
      multiples of 4. Under `jit`, pass them as an argument: captured, they become a constant.
    labels: integers [n], 0 to 9.
    n_steps: number of updates; static.
    batch_size: images per update.
    learning_rate: the learning rate of the first step.

  Returns:
    The parameters.

  Raises:
    ValueError: the images' height or width is not a multiple of 4.
  """
  chex.assert_rank([images, labels], [4, 1])
  chex.assert_equal_shape_prefix([images, labels], 1)
  chex.assert_type([images, labels], [jnp.uint8, int])
  shape = images.shape[1:]
  if shape[0] % 4 or shape[1] % 4:
    raise ValueError(f"image height and width must be multiples of 4, got {shape}")
  key_init, key_steps = jax.random.split(key)
  params = _Classifier().init(key_init, jnp.zeros((1, *shape)))["params"]
  optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps))

  def loss(params, batch, batch_labels):
    logits = classify(params, batch)
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch_labels).mean()

  def step(i, carry):
    params, opt_state = carry
    key_batch, key_shift = jax.random.split(jax.random.fold_in(key_steps, i))
    indices = jax.random.randint(key_batch, (batch_size,), 0, images.shape[0])
    batch = _shift(key_shift, jnp.asarray(images)[indices])
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
    Logits, [n, 10].
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
  return _Classifier().apply({"params": params}, images)


def _shift(key, images):
  """Shifts each image by up to `_MAX_SHIFT` pixels along both axes, filling with black."""
  n, *shape = images.shape
  margin = (_MAX_SHIFT, _MAX_SHIFT)
  padded = jnp.pad(images, ((0, 0), margin, margin, (0, 0)))
  starts = jax.random.randint(key, (n, 2), 0, 2 * _MAX_SHIFT + 1)
  return jax.vmap(lambda image, start: lax.dynamic_slice(image, (*start, 0), shape))(padded, starts)
