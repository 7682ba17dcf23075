"""The compiled functions of a run, and the data that they read on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness.measures import N_HELD_OUT, make_boundary_measures
from experiments.harness.settings import Settings
from wgan_jax.data.images import Images, sample_images, to_uint8
from wgan_jax.training import Info, State, make_chunk, make_training
from wgan_jax.types import Pair

N_SAMPLES = 64


class Program:
  """A run's functions, jitted; `capacity` is the most steps of one chunk."""

  def __init__(self, settings: Settings, images: Images, capacity: int):
    config, pair = settings.config(), settings.networks(images.train_images.shape[1:])
    training = make_training(config, pair, sample_images)
    self.hparams = settings.hparams()
    self._key_training, self._key_pictures = jax.random.split(jax.random.key(settings.seed))
    self._train = jnp.asarray(images.train_images)
    self._held_out = jnp.asarray(images.test_images[:N_HELD_OUT])
    self._init = jax.jit(training.init)
    self._chunk = jax.jit(make_chunk(training.step, capacity), donate_argnums=0)
    self._measure = jax.jit(make_boundary_measures(config, pair))
    self._sample = jax.jit(make_sampler(pair), static_argnums=2)

  def init(self) -> State:
    """The state before the first step."""
    return self._init(self._key_training, self.hparams)

  def chunk(self, state: State, n_steps: int) -> tuple[State, Info]:
    """`n_steps` more; Info is on the host, [n_steps]."""
    state, info = self._chunk(state, self.hparams, self._train, n_steps)
    return state, jax.tree.map(lambda rows: rows[:n_steps], jax.device_get(info))

  def measure(self, state: State) -> dict[str, float]:
    """What is measured outside the step, by name."""
    measured = self._measure(state, self._train, self._held_out)
    return {name: float(value) for name, value in measured.items()}

  def sample(self, state: State) -> np.ndarray:
    """The run's own pictures, uint8 [N_SAMPLES, ...]: always from the same latents."""
    return np.asarray(self._sample(state, self._key_pictures, N_SAMPLES))


def make_sampler(pair: Pair) -> Callable[[State, jax.Array, int], jax.Array]:
  """Builds `sample(state, key, n) -> uint8 [n, height, width, channels]`."""

  def sample(state, key, n):
    latents = jax.random.normal(key, (n, pair.latent_dim))
    samples, _ = pair.generator.apply(
      state.generator_params, state.batch_stats, latents, train=False
    )
    return to_uint8(samples)

  return sample
