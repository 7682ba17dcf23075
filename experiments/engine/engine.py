"""Trains, measures and draws runs of one program."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from experiments.engine.folder import RunFolder
from experiments.engine.program import Program, checkpoint_compile_options, lay_mesh
from experiments.host.processes import Team
from experiments.measures.classes import ClassifierMeasures
from experiments.measures.draws import Snapshot, make_snapshot
from experiments.measures.lines import make_measures, summarise
from experiments.spec.dataset import Dataset
from experiments.spec.settings import Settings
from wgan_jax import Info, Members, make_training


class Engine:
  """Trains runs of one program side by side, n >= 1, and measures and draws each of them.

  `experiments.engine.loop.train` knows nothing else of what it trains.

  Args:
    runs: settings that differ in seed and hyperparameters only.
    dataset: their data.
    capacity, batching: as in `Program`.
    classifier: for the slow measures of images; None without them.
    data_parallel: number of devices over which each batch is laid.
    team: the processes that train them; process 0 tells the others of each call that computes, so
      that they make it too (`experiments.engine.following`).

  Attributes:
    runs: as given.
    program: the compiled program.
  """

  def __init__(
    self,
    runs: Sequence[Settings],
    dataset: Dataset,
    capacity: int,
    batching: str = "map",
    classifier: ClassifierMeasures | None = None,
    data_parallel: int = 1,
    team: Team | None = None,
  ):
    self._team = team or Team()
    slow, records = classifier is not None, [dataclasses.asdict(run) for run in runs]
    self._team.tell("engine", records, capacity, batching, slow, data_parallel)
    config, networks = runs[0].config(), runs[0].networks()
    mesh = lay_mesh(len(runs), data_parallel)
    training = make_training(config, networks, dataset.sample_real, mesh=mesh)
    members = [(run.hparams(), run.seed) for run in runs]
    self.runs = runs
    options = checkpoint_compile_options() if config.rematerialize else None
    self.program = Program(
      training, dataset.train, members, capacity, batching, mesh, self._team, options
    )
    self._dataset, self._window = dataset, 0
    # Each window serves as many steps as draw its samples once.
    drawn = config.batch_size * config.n_critic
    self._window_steps = dataset.windows and max(1, dataset.windows.n // drawn)
    self._held_out = self.program.put(dataset.held_out)
    # Each process may have trained one of its own, of other last bits.
    self._classifier = None if classifier is None else self.program.share(classifier.params)
    measures = make_measures(config, networks, dataset, classifier)
    self._measure = self.program.mapped(measures.fast)
    self._measure_slowly = self.program.mapped(measures.slow)
    self._finish = measures.finish
    self._snapshot = self.program.mapped(make_snapshot(networks, dataset))

  def init(self) -> Members:
    """Returns the members before the first step."""
    self._team.tell("init")
    return self.program.init()

  def fetch(self, members: Members) -> Members:
    """Brings the members to one device; see `Program.fetch`."""
    self._team.tell("fetch")
    return self.program.fetch(members)

  def lay_out(self, members: Members) -> Members:
    """Puts what `fetch` gave back on all devices; see `Program.lay_out`."""
    self._team.tell("lay_out")
    return self.program.lay_out(members)

  def chunk(self, members: Members, n_steps: int) -> tuple[Members, Info]:
    """Does `n_steps` more of all that are alive; see `Program.chunk`.

    Of data larger than memory the window is a function of the step alone.
    """
    self._team.tell("chunk", n_steps)
    if self._dataset.windows is None:
      return self.program.chunk(members, n_steps)
    step, infos = self._step(members), []
    last = step + n_steps
    while step < last:
      self._show(step)
      n = min(last - step, self._window_steps - step % self._window_steps)
      members, info = self.program.chunk(members, n)
      infos.append(info)
      step += n
    return members, jax.tree.map(lambda *rows: np.concatenate(rows, 1), *infos)

  def _step(self, members):
    """The step of the members that are alive: the others are behind."""
    return int(np.max(self.program.read(members.state.step)))

  def _show(self, step):
    """Puts the window from which the step after this one draws on the devices."""
    window = step // self._window_steps
    if window != self._window:
      self.program.data = self.program.put(self._dataset.windows.draw(window))
      self._window = window

  def measure(self, members: Members, *, slow: bool) -> tuple[dict, dict | None]:
    """Computes what lines need: the scalars of every line and, with `slow`, arrays; on the host."""
    self._team.tell("measure", slow)
    if self._dataset.windows is not None:  # After a resume, that of the last step is not there.
      self._show(max(0, self._step(members) - 1))
    arguments = (members.state, self.program.hparams, self.program.data, self._held_out)
    fast = jax.device_get(self._measure(*arguments))
    if not slow:
      return fast, None
    return fast, jax.device_get(self._measure_slowly(*arguments, self._classifier))

  def lines(
    self, members: Members, pending: list[list[dict]], alive: Sequence[bool], *, slow: bool
  ) -> list[dict | None]:
    """Returns the line of metrics of each member, without its step; None for one that diverged.

    Args:
      members: as they are at the end of the interval.
      pending: of each member, the rows of its steps since its last line.
      alive: which members have not diverged.
      slow: whether the lines hold the slow measures too.
    """
    fast, arrays = self.measure(members, slow=slow)
    lines = [None] * len(self.runs)
    for i in np.flatnonzero(alive):
      lines[i] = summarise(pending[i], self.runs[i].config())
      lines[i] |= {name: float(values[i]) for name, values in fast.items()}
      if slow:
        lines[i] |= self._finish(jax.tree.map(lambda leaf, i=i: leaf[i], arrays))
    return lines

  def snapshot(self, members: Members) -> tuple[list[int], Snapshot]:
    """Computes what pictures show: the step of each member, and its `Snapshot`."""
    self._team.tell("snapshot")
    snapshots = jax.device_get(self._snapshot(members.state, self.program.keys))
    return self.program.read(members.state.step).tolist()[: len(self.runs)], snapshots

  def draw(self, members: Members, folders: Sequence[RunFolder]) -> None:
    """Writes each member's picture at the step that it is at, always from the same latents."""
    from experiments.figures.samples import draw_samples  # Matplotlib would delay the start.

    steps, snapshots = self.snapshot(members)
    for i, (run, folder, step) in enumerate(zip(self.runs, folders, steps, strict=True)):
      if step:
        title = f"{run_title(run)}, step {step}"
        snapshot = jax.tree.map(lambda leaf, i=i: leaf[i], snapshots)
        draw_samples(folder.sample(step), snapshot, self._dataset, title)


def run_title(run: Settings) -> str:
  """Names a run above its pictures."""
  return f"{run.title}, {run.method}, seed {run.seed}"
