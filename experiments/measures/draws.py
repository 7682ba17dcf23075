"""Draws from a state: samples, the keys of measurements, and what a picture shows."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.spec.dataset import Dataset
from wgan_jax import Pair, State, generate
from wgan_jax.data.images import to_uint8

BATCH = 500
"""Samples of a whole batch of `generate_batches`."""
_N_IMAGES = 64
_N_POINTS = 1000
_MOST_CLASSES = 16  # Rows of a picture, each of one class.
_N_OF_CLASS = 10
_N_LEVELS = 100  # Points along each side of the square on which a critic's level sets are drawn.


def generate_batches(
  networks: Pair,
  state: State,
  key: jax.Array,
  n: int,
  transform: Callable[[jax.Array], jax.Array] = lambda samples: samples,
  averaged: bool = True,
  start: int = 0,
  labels: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
  """Draws n samples in batches of `BATCH`, the last one shorter where n wants it.

  A batch depends on its number and the key only. So the first samples of a larger n are the same,
  and what stopped goes on with a later `start`.

  Args:
    networks: those of the run.
    state: its state.
    key: draws all of them.
    n: how many samples all batches hold, those before `start` included.
    transform: applied to each batch on the device.
    averaged: by the averaged generator, or by the generator itself; see `wgan_jax.generate`.
    start: number of the first batch that is drawn.
    labels: the samples' classes, integers [n], for conditional networks; else None.

  Yields:
    The samples of a batch, transformed, on the host.
  """

  @jax.jit
  def draw(state, key, labels):
    return transform(generate(networks, state, key, BATCH, averaged=averaged, labels=labels))

  for i in range(start, -(-n // BATCH)):
    own = None
    if labels is not None:  # A batch is whole, whatever n.
      own = np.resize(labels[i * BATCH : (i + 1) * BATCH], BATCH)
    # Folded in, not split, so that the first keys do not depend on n.
    yield np.asarray(draw(state, jax.random.fold_in(key, i), own))[: n - i * BATCH]


def generate_many(
  networks: Pair, state: State, key: jax.Array, n: int, **options: Any
) -> np.ndarray:
  """The samples of all batches of `generate_batches`, of the same options, together."""
  return np.concatenate(list(generate_batches(networks, state, key, n, **options)))


def measuring_keys(state: State) -> dict[str, jax.Array]:
  """PRNG keys by purpose, for everything that is measured at a step."""
  # The training step splits this key; folding in its own number leaves those draws alone.
  key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0x6D656173)
  purposes = ("held_out", "fake", "real", "epsilon")
  purposes += ("modes", "directions", "classes", "latents", "batch", "search")
  return dict(zip(purposes, jax.random.split(key, len(purposes)), strict=True))


class Snapshot(NamedTuple):
  """What a picture shows of a run.

  Attributes:
    samples: images, uint8 [n, height, width, channels], or points, float32 [n, d]. Those of a
      conditional generator are [classes, n, height, width, channels], a row a class.
    levels: the critic's scores on a square of points, whose entries after the first two are 0,
      [_N_LEVELS, _N_LEVELS], rows from its lower end; None for images.
  """

  samples: jax.Array
  levels: jax.Array | None


def make_snapshot(pair: Pair, dataset: Dataset) -> Callable[[State, jax.Array], Snapshot]:
  """Builds `draw(state, key) -> Snapshot`, to be jitted."""

  def draw(state, key):
    if pair.n_classes:
      rows = min(pair.n_classes, _MOST_CLASSES)
      labels = jnp.repeat(jnp.arange(rows), _N_OF_CLASS)
      images = to_uint8(generate(pair, state, key, len(labels), labels=labels))
      return Snapshot(images.reshape(rows, _N_OF_CLASS, *images.shape[1:]), None)
    if dataset.images is not None:
      return Snapshot(to_uint8(generate(pair, state, key, _N_IMAGES)), None)
    side = jnp.linspace(-dataset.extent, dataset.extent, _N_LEVELS)
    square = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    square = jnp.pad(square, ((0, 0), (0, dataset.sample_shape[0] - 2)))
    scores = jax.vmap(lambda x: pair.critic.apply(state.critic_params, x))(square)
    return Snapshot(generate(pair, state, key, _N_POINTS), scores.reshape(_N_LEVELS, _N_LEVELS))

  return draw
