"""The host loop: compiled chunks of steps, and between them logging, drawing and saving."""

import contextlib
import dataclasses
import math
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness import checkpoints, display, files, plots
from experiments.harness.checkpoints import Checkpoint
from experiments.harness.errors import Stopped
from experiments.harness.measures import N_HELD_OUT, estimate_name, make_boundary_measures
from experiments.harness.run_folder import RunFolder
from experiments.harness.settings import Settings
from wgan_jax.data.images import Images, sample_images, to_uint8
from wgan_jax.training import Info, State, make_chunk, make_training
from wgan_jax.types import Pair

N_SAMPLES = 64


@dataclasses.dataclass(frozen=True)
class Intervals:
  """Steps between lines of metrics, pictures and checkpoints."""

  log: int
  sample: int
  checkpoint: int

  def next(self, step: int, last: int) -> int:
    """The next multiple of any interval, or the last step: where a chunk ends."""
    multiples = [(step // every + 1) * every for every in dataclasses.astuple(self)]
    return min(*multiples, last)


class Program:
  """The compiled functions of a run, and the data they read on the device."""

  def __init__(self, settings: Settings, images: Images, capacity: int):
    config, pair = settings.config(), settings.networks(images.train_images.shape[1:])
    training = make_training(config, pair, sample_images)
    self.hparams = settings.hparams()
    self._key = jax.random.key(settings.seed)
    self._init = jax.jit(training.init)
    self._train = jnp.asarray(images.train_images)
    self._held_out = jnp.asarray(images.test_images[:N_HELD_OUT])
    self._chunk = jax.jit(make_chunk(training.step, capacity), donate_argnums=0)
    self._measure = jax.jit(make_boundary_measures(config, pair))
    self._sample = jax.jit(make_sampler(pair), static_argnums=2)

  def init(self) -> State:
    return self._init(self._key, self.hparams)

  def chunk(self, state: State, n_steps: int) -> tuple[State, Info]:
    """Steps on; Info is on the host, [n_steps]."""
    state, info = self._chunk(state, self.hparams, self._train, n_steps)
    return state, jax.tree.map(lambda rows: rows[:n_steps], jax.device_get(info))

  def measure(self, state: State) -> dict:
    measured = self._measure(state, self._train, self._held_out)
    return {name: float(value) for name, value in measured.items()}

  def sample(self, state: State) -> np.ndarray:
    """The run's own pictures: always from the same latents."""
    return np.asarray(self._sample(state, jax.random.fold_in(self._key, 0x7A), N_SAMPLES))


def make_sampler(pair: Pair):
  """Builds `sample(state, key, n) -> uint8 [n, height, width, channels]`."""

  def sample(state, key, n):
    latents = jax.random.normal(key, (n, pair.latent_dim))
    samples, _ = pair.generator.apply(
      state.generator_params, state.batch_stats, latents, train=False
    )
    return to_uint8(samples)

  return sample


def train(
  folder: RunFolder,
  settings: Settings,
  images: Images,
  *,
  steps: int,
  intervals: Intervals,
  tensorboard: bool = False,
) -> None:
  """Trains from the newest checkpoint in the folder, or from the start, to `steps`.

  Raises:
    Stopped: a loss or a parameter turned non-finite, or a signal asked to stop.
    UserError: no checkpoint in the folder verifies.
  """
  program = Program(settings, images, capacity=min(dataclasses.astuple(intervals)))
  state, pending = _resume(folder, program)
  step = int(state.step)
  if step >= steps:
    if step > steps:
      print(f"{folder.path} is at step {step} already: --steps={steps} asks for nothing more")
    _finish(folder, settings, step)
    return
  title = f"{settings.dataset}, {settings.loss}, {settings.penalty}, seed {settings.seed}"
  print(f"{'resumed at' if step else 'starting at'} step {step} of {steps}", flush=True)
  # Lines past the checkpoint, and one at it of steps that are pending still: they come again.
  files.keep_lines(folder.metrics, lambda row: row["step"] + len(pending) <= step)
  files.keep_lines(folder.timing, lambda row: row["step"] <= step)

  shown = display.Display(step, steps)
  with (
    contextlib.closing(shown),
    display.event_writer(folder.tensorboard, tensorboard, step) as events,
    _stop_signals() as stop,
  ):
    while step < steps:
      started, first = time.perf_counter(), step
      step = intervals.next(step, steps)
      state, info = program.chunk(state, step - first)
      pending += _rows(info)
      seconds = time.perf_counter() - started
      shown.advance(step - first)
      if not info.finite.all():
        bad = first + 1 + int(np.argmin(info.finite))
        _give_up(folder, settings, bad)
      if step % intervals.log == 0 or step == steps:
        row = {"step": step, **_summarise(pending, settings)} | program.measure(state)
        files.append_line(folder.metrics, row)
        shown.metrics(row, (step - first) / seconds)
        display.write_events(events, row)
      if step % intervals.sample == 0 or step == steps:
        samples = program.sample(state)
        plots.draw_grid(folder.sample(step), samples, f"{title}, step {step}")
        plots.draw_curves(folder.curves, files.read_lines(folder.metrics), title)
        display.write_image(events, samples, step)
      if step % intervals.log == 0:
        # A line at the last step may be of a part of its interval: a longer run makes it whole.
        pending = []
      if step % intervals.checkpoint == 0 or step == steps or stop.signal:
        checkpoints.save(folder.checkpoints, Checkpoint(state, pending))
      files.append_line(
        folder.timing,
        {
          "step": step,
          "time": time.time(),
          "chunk_seconds": seconds,
          "steps_per_second": (step - first) / seconds,
          "host_seconds": time.perf_counter() - started - seconds,
        },
      )
      if stop.signal and step < steps:
        raise Stopped(
          f"stopped at step {step}, saved; the same command goes on from there", 128 + stop.signal
        )
  _finish(folder, settings, step)


def _resume(folder: RunFolder, program: Program) -> Checkpoint:
  state = program.init()
  checkpoint = checkpoints.restore_newest(folder.checkpoints, state) or Checkpoint(state, [])
  checkpoints.set_aside(folder.checkpoints, after=int(checkpoint.state.step))
  return checkpoint


def _rows(info: Info) -> list[dict]:
  """One plain dict a step; a float32 keeps its value as a Python float, and in JSON."""
  columns = {name: values.tolist() for name, values in info._asdict().items() if name != "finite"}
  return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _summarise(rows: list[dict], settings: Settings) -> dict:
  """The mean over the rows; of the largest gradient norms the largest."""
  means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}
  line = {estimate_name(settings.loss): means["estimate"]}
  if settings.config().penalty_fn is not None:
    line["gradient_penalty"] = means["gradient_penalty"]
    line["gradient_norm_mean"] = means["gradient_norm_mean"]
    line["gradient_norm_max"] = max(row["gradient_norm_max"] for row in rows)
  return line | {name: means[name] for name in ("critic_loss", "generator_loss")}


def _give_up(folder: RunFolder, settings: Settings, bad: int) -> None:
  kept = checkpoints.steps(folder.checkpoints)
  files.write_json(folder.summary, {"status": "diverged", "first_bad_step": bad})
  last = f"the last good checkpoint is step {kept[-1]}" if kept else "there is no checkpoint yet"
  raise Stopped(
    f"diverged: a loss or a parameter turned non-finite at step {bad}; replay it with"
    f" --seed={settings.seed} --steps={bad} and the same other flags; {last}",
    3,
  )


def _finish(folder: RunFolder, settings: Settings, step: int) -> None:
  rows = files.read_lines(folder.metrics)
  summary = {"status": "finished", "steps": step, "dataset": settings.dataset, "last": rows[-1]}
  files.write_json(folder.summary, summary)
  print(f"done: {folder.path} (samples/{folder.sample(step).name}, curves.png, metrics.jsonl)")


@dataclasses.dataclass
class _Stop:
  signal: int = 0


@contextlib.contextmanager
def _stop_signals():
  """Ctrl-C and SIGTERM are remembered until the chunk ends; the second one acts at once."""
  stop = _Stop()

  def remember(number, frame):
    del frame
    stop.signal = number
    signal.signal(number, previous[number])

  previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield stop
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
