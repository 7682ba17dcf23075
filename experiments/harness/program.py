"""The compiled functions of a run, or of many, and the data that they read on the device."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from experiments.harness.measures import N_HELD_OUT, make_boundary_measures
from experiments.harness.settings import Settings
from wgan_jax.data.images import Images, sample_images, to_uint8
from wgan_jax.sweep import Members, make_sweep, members_mesh, spread
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


class MembersProgram:
  """The functions of runs that differ in seed and hyperparameters only, jitted, on all devices.

  The members are shared out equally: the last one is repeated up to a multiple of the devices, and
  `Members` here have these copies; what comes to the host has not.

  Attributes:
    n_members: how many runs.
    n_devices: over how many devices the members are laid.
    compile_seconds: how long `chunk` took to compile.
    memory: the compiler's account of `chunk`, in bytes a device.
  """

  def __init__(self, runs: list[Settings], images: Images, capacity: int, batching: str):
    devices = jax.local_devices()[: len(runs)]
    self.n_devices, self.n_members = len(devices), len(runs)
    padded = runs + runs[-1:] * (-len(runs) % len(devices))
    mesh = members_mesh(devices)
    self._whole = NamedSharding(mesh, PartitionSpec())
    self._laid_out = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    config, pair = runs[0].config(), runs[0].networks(images.train_images.shape[1:])
    training = make_training(config, pair, sample_images)
    sweep = make_sweep(training, capacity, batching=batching, mesh=mesh)
    keys = [jax.random.split(jax.random.key(run.seed)) for run in padded]
    self._keys_training, self._keys_pictures = (
      jax.device_put(jnp.stack(column), self._laid_out) for column in zip(*keys, strict=True)
    )
    hparams = jax.tree.map(lambda *values: jnp.stack(values), *[run.hparams() for run in padded])
    self._hparams = jax.device_put(hparams, self._laid_out)
    self._train = jax.device_put(images.train_images, self._whole)
    self._held_out = jax.device_put(images.test_images[:N_HELD_OUT], self._whole)
    self._init = jax.jit(sweep.init)
    self._chunk = jax.jit(sweep.chunk, donate_argnums=0)
    started = time.perf_counter()
    self._chunk = self._chunk.lower(
      self.init(), self._hparams, self._train, self._count(0)
    ).compile()
    self.compile_seconds = time.perf_counter() - started
    self.memory = self._chunk.memory_analysis()
    measure, sample = make_boundary_measures(config, pair), make_sampler(pair)

    # One member after another: these are rare, and large for their samples.
    def measure_all(states, train, held_out):
      return jax.lax.map(lambda state: measure(state, train, held_out), states)

    def sample_all(states, keys):
      return jax.lax.map(lambda each: sample(*each, N_SAMPLES), (states, keys))

    self._measure = jax.jit(spread(measure_all, mesh, 1))
    self._sample = jax.jit(spread(sample_all, mesh, 2))

  def init(self) -> Members:
    """The members before the first step."""
    return self._init(self._keys_training, self._hparams)

  def chunk(self, members: Members, n_steps: int) -> tuple[Members, Info]:
    """`n_steps` more of all that are alive; Info is on the host, [members, n_steps]."""
    members, info = self._chunk(members, self._hparams, self._train, self._count(n_steps))
    info = jax.tree.map(lambda rows: rows[: self.n_members, :n_steps], jax.device_get(info))
    return members, info

  def measure(self, members: Members) -> list[dict[str, float]]:
    """What is measured outside the step, by name, of each member."""
    columns = jax.device_get(self._measure(members.state, self._train, self._held_out))
    return [
      {name: float(values[i]) for name, values in columns.items()} for i in range(self.n_members)
    ]

  def sample(self, members: Members) -> np.ndarray:
    """Each run's own pictures, uint8 [members, N_SAMPLES, ...]: always from the same latents."""
    return np.asarray(self._sample(members.state, self._keys_pictures))[: self.n_members]

  def fetch(self, members: Members) -> Members:
    """The members on one device, without the copies that fill the last share."""
    members = jax.device_put(members, jax.local_devices()[0])
    return jax.tree.map(lambda leaf: leaf[: self.n_members], members)

  def lay_out(self, members: Members) -> Members:
    """What `fetch` gave, back on all devices."""
    fill = jnp.minimum(
      jnp.arange(-(-self.n_members // self.n_devices) * self.n_devices), self.n_members - 1
    )
    return jax.device_put(jax.tree.map(lambda leaf: leaf[fill], members), self._laid_out)

  def _count(self, n_steps):
    return jax.device_put(np.int32(n_steps), self._whole)


def make_sampler(pair: Pair) -> Callable[[State, jax.Array, int], jax.Array]:
  """Builds `sample(state, key, n) -> uint8 [n, height, width, channels]`."""

  def sample(state, key, n):
    latents = jax.random.normal(key, (n, pair.latent_dim))
    samples, _ = pair.generator.apply(
      state.generator_params, state.batch_stats, latents, train=False
    )
    return to_uint8(samples)

  return sample
