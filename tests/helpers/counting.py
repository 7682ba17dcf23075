"""An engine that counts instead of training, so that the host loop is tried in a moment.

It stands in for `experiments.engine.engine.Engine` behind the launchers: folders, lines,
checkpoints and samples are written as always, nothing is compiled, and no curve or report is drawn.
"""

import contextlib
import types
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import sweep as launcher
from experiments.engine import start, sweep
from experiments.figures import curves
from experiments.measures.lines import summarise
from wgan_jax.sweep import Members
from wgan_jax.types import Info

DIVERGES_FROM = 1.0  # The learning rate from which a member diverges, at step `BAD_STEP`.
BAD_STEP = 5


class CountingState(NamedTuple):
  """The step, and a number that each step changes in its own way."""

  step: jax.Array
  total: jax.Array


class CountingEngine:
  """Trains runs by counting; a step that is done twice, or not at all, shows in the total.

  Attributes:
    calls: the members and steps of every chunk, of all engines since the last `counting`.
  """

  calls: ClassVar[list[tuple[int, int]]] = []

  def __init__(
    self, runs, dataset, capacity, batching="map", classifier=None, data_parallel=1, team=None
  ):
    del dataset, capacity, classifier, data_parallel, team
    self.runs, self.batching = runs, batching
    memory = types.SimpleNamespace(temp_size_in_bytes=0, output_size_in_bytes=0)
    self.program = types.SimpleNamespace(compile_seconds=0.0, n_devices=1, memory=memory)

  def init(self):
    seeds = [run.seed for run in self.runs]
    state = CountingState(jnp.zeros(len(seeds), jnp.int32), jnp.array(seeds, jnp.uint32))
    return Members(state, jnp.ones(len(seeds), bool))

  def chunk(self, members, n_steps):
    self.calls.append((len(self.runs), n_steps))
    step, total = (np.array(leaf) for leaf in members.state)
    alive = np.array(members.alive)
    bad = np.array([run.learning_rate >= DIVERGES_FROM for run in self.runs])
    totals, finite = [], []
    for _ in range(n_steps):
      alive = alive & ~(bad & (step + 1 == BAD_STEP))
      step = np.where(alive, step + 1, step)
      total = np.where(alive, total * np.uint32(31) + step.astype(np.uint32), total)
      totals.append(total / 2**32)
      finite.append(alive)
    values = np.stack(totals, 1).astype(np.float32)
    fields = dict.fromkeys(Info._fields, values) | {"finite": np.stack(finite, 1)}
    state = CountingState(jnp.array(step), jnp.array(total))
    return Members(state, jnp.array(alive)), Info(**fields)

  def lines(self, members, pending, alive, *, slow):
    totals = members.state.total.tolist()
    lines = []
    for run, rows, lives, total in zip(self.runs, pending, alive, totals, strict=True):
      measured = {"sliced_wasserstein": total / 2**32, "gradient_norm_max": 1.0}
      measured |= {"exact_wasserstein": total / 2**31} if slow else {}
      lines.append(summarise(rows, run.config()) | measured if lives else None)
    return lines

  def draw(self, members, folders):
    for folder, step, total in zip(folders, *map(np.array, members.state), strict=True):
      if step:
        folder.sample(int(step)).write_bytes(f"{step} {total}".encode())

  def fetch(self, members):
    return members

  def lay_out(self, members):
    return members


@contextlib.contextmanager
def counting():
  """Within it, launchers count."""
  CountingEngine.calls.clear()
  with pytest.MonkeyPatch.context() as patch:
    for module in (start, sweep):
      patch.setattr(module, "Engine", CountingEngine)
    patch.setattr(curves, "draw_curves", lambda path, rows, title: path.write_text(repr(rows)))
    patch.setattr(launcher, "write_report", lambda folder, members: None)
    yield
