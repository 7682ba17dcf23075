"""The compiled functions of a run, or of many, and the data that they read on the device."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from experiments.measures.classes import ClassifierMeasures
from experiments.measures.draws import Snapshot, make_snapshot
from experiments.measures.lines import make_measures
from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings
from wgan_jax.sweep import Members, make_sweep, members_mesh, spread
from wgan_jax.training import Info, State, make_chunk, make_training


def rare_options():
  """Options for what runs rarely: up to three times as fast to compile; a GPU has no such level."""
  return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None


class Program:
  """A run's functions, jitted; `capacity` is the most steps of one chunk.

  Args:
    settings: of the run.
    dataset: its data.
    capacity: the most steps of one call of `chunk`.
    classifier: for the slow measures of images.
  """

  def __init__(
    self,
    settings: Settings,
    dataset: Dataset,
    capacity: int,
    classifier: ClassifierMeasures | None = None,
  ):
    config, pair = settings.config(), settings.networks()
    training = make_training(config, pair, dataset.sample_real)
    self.hparams = settings.hparams()
    self._key_training, self._key_pictures = jax.random.split(jax.random.key(settings.seed))
    self._train = jax.tree.map(jnp.asarray, dataset.train)
    self._held_out = jnp.asarray(dataset.held_out)
    self._init = jax.jit(training.init, compiler_options=rare_options())
    self._chunk = jax.jit(make_chunk(training.step, capacity), donate_argnums=0)
    measures = make_measures(config, pair, dataset, classifier)
    self._measure = jax.jit(measures.fast, compiler_options=rare_options())
    self._compute = jax.jit(measures.slow, compiler_options=rare_options())
    self._finish = measures.finish
    self._classifier = None if classifier is None else classifier.params
    self._draw = jax.jit(make_snapshot(pair, dataset), compiler_options=rare_options())

  def init(self) -> State:
    """The state before the first step."""
    return self._init(self._key_training, self.hparams)

  def chunk(self, state: State, n_steps: int) -> tuple[State, Info]:
    """`n_steps` more; Info is on the host, [n_steps]."""
    state, info = self._chunk(state, self.hparams, self._train, n_steps)
    return state, jax.tree.map(lambda rows: rows[:n_steps], jax.device_get(info))

  def measure(self, state: State, *, exact: bool) -> dict[str, float]:
    """What is measured outside the step, by name; the slow measures, too, where `exact`."""
    arguments = (state, self.hparams, self._train, self._held_out)
    measured = {name: float(value) for name, value in self._measure(*arguments).items()}
    if exact:
      measured |= self._finish(jax.device_get(self._compute(*arguments, self._classifier)))
    return measured

  def draw(self, state: State) -> Snapshot:
    """The run's own picture, on the host: always from the same latents."""
    return jax.device_get(self._draw(state, self._key_pictures))


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

  def __init__(
    self,
    runs: list[Settings],
    dataset: Dataset,
    capacity: int,
    batching: str,
    classifier: ClassifierMeasures | None = None,
  ):
    devices = jax.local_devices()[: len(runs)]
    self.n_devices, self.n_members = len(devices), len(runs)
    padded = runs + runs[-1:] * (-len(runs) % len(devices))
    mesh = members_mesh(devices)
    self._whole = NamedSharding(mesh, PartitionSpec())
    self._laid_out = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    config, pair = runs[0].config(), runs[0].networks()
    training = make_training(config, pair, dataset.sample_real)
    sweep = make_sweep(training, capacity, batching=batching, mesh=mesh)
    keys = [jax.random.split(jax.random.key(run.seed)) for run in padded]
    self._keys_training, self._keys_pictures = (
      jax.device_put(jnp.stack(column), self._laid_out) for column in zip(*keys, strict=True)
    )
    hparams = jax.tree.map(lambda *values: jnp.stack(values), *[run.hparams() for run in padded])
    self._hparams = jax.device_put(hparams, self._laid_out)
    self._train = jax.device_put(dataset.train, self._whole)
    self._held_out = jax.device_put(dataset.held_out, self._whole)
    self._init = jax.jit(sweep.init, compiler_options=rare_options())
    self._chunk = jax.jit(sweep.chunk, donate_argnums=0)
    started = time.perf_counter()
    self._chunk = self._chunk.lower(
      self.init(), self._hparams, self._train, self._count(0)
    ).compile()
    self.compile_seconds = time.perf_counter() - started
    self.memory = self._chunk.memory_analysis()
    measures = make_measures(config, pair, dataset, classifier)
    self._finish = measures.finish
    self._classifier = (
      None if classifier is None else jax.device_put(classifier.params, self._whole)
    )
    draw = make_snapshot(pair, dataset)

    # One member after another: these are rare, and large for their samples.
    def mapped(function):
      def run_all(states, hparams, *whole):
        return jax.lax.map(lambda each: function(*each, *whole), (states, hparams))

      return jax.jit(spread(run_all, mesh, 2), compiler_options=rare_options())

    def draw_all(states, keys):
      return jax.lax.map(lambda each: draw(*each), (states, keys))

    self._measure = mapped(measures.fast)
    self._compute = mapped(measures.slow)
    self._draw = jax.jit(spread(draw_all, mesh, 2), compiler_options=rare_options())

  def init(self) -> Members:
    """The members before the first step."""
    return self._init(self._keys_training, self._hparams)

  def chunk(self, members: Members, n_steps: int) -> tuple[Members, Info]:
    """`n_steps` more of all that are alive; Info is on the host, [members, n_steps]."""
    members, info = self._chunk(members, self._hparams, self._train, self._count(n_steps))
    info = jax.tree.map(lambda rows: rows[: self.n_members, :n_steps], jax.device_get(info))
    return members, info

  def measure(self, members: Members, *, exact: bool, alive: list[bool]) -> list[dict[str, float]]:
    """What is measured outside the step, by name, of each member, as `Program` does it.

    The slow measures only of those that are alive.
    """
    arguments = (members.state, self._hparams, self._train, self._held_out)
    columns = jax.device_get(self._measure(*arguments))
    rows = [
      {name: float(values[i]) for name, values in columns.items()} for i in range(self.n_members)
    ]
    if exact:
      arrays = jax.device_get(self._compute(*arguments, self._classifier))
      for i, row in enumerate(rows):
        if alive[i]:
          row |= self._finish(jax.tree.map(lambda leaf, i=i: leaf[i], arrays))
    return rows

  def draw(self, members: Members) -> list[Snapshot]:
    """Each run's own picture, on the host: always from the same latents."""
    drawn = jax.device_get(self._draw(members.state, self._keys_pictures))
    return [jax.tree.map(lambda leaf, i=i: leaf[i], drawn) for i in range(self.n_members)]

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
