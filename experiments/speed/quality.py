"""Quality of samples against seconds of training: the main job, and others with the same settings.

All of them train in turns in one process, a part of the run each, and only their training is timed:
a turn's samples are measured after it. What is compiled, or warmed up, is so before the first turn.
"""

import dataclasses
import functools
import math
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from experiments.engine.engine import Engine
from experiments.host.files import write_bytes
from experiments.measures.classes import N_FEATURES_OF, load_classifier_measures
from experiments.measures.draws import generate_many
from experiments.spec.dataset import Dataset
from experiments.spec.datasets import load_dataset
from experiments.spec.defaults import default_steps
from experiments.spec.settings import Settings
from experiments.speed.comparisons import pytorch_for_device
from experiments.speed.turns import Measurement, MedianRange, Runner
from wgan_jax.data.images import resolve_auto

MEASURES = ("frechet", "precision", "readable")
_GOAL = 0.75  # The readable share that is waited for.
_N_TURNS = 25
_CAPACITY = 1000  # Steps in one call.


class Contest(NamedTuple):
  """The ways of one seed, and how far each trains.

  Attributes:
    make: by way, (seed) -> Runner.
    steps: by way, how many steps it trains at most.
    until_goal: the ways that stop once they have reached the goal.
  """

  make: dict[str, Callable[[int], Runner]]
  steps: dict[str, int]
  until_goal: tuple[str, ...]


def time_to_quality(
  rounds: int, settings: Settings, plain: Settings, plain_steps: int
) -> Measurement:
  """Compares the seconds of training until a share of .75 of the samples is readable.

  Args:
    rounds: how many seeds.
    settings: of the main job, and of PyTorch's. All train on MNIST, or without it on the
      digits.
    plain: other settings, whose last Fréchet distance is waited for too.
    plain_steps: how long these train.

  Returns:
    How many times sooner the main job has that share than PyTorch; the details hold every curve,
    and how many times sooner it has the distance of the plain run's end than that run.
  """
  dataset = load_dataset(resolve_auto(None))
  n_steps = default_steps(settings)
  pytorch, device = pytorch_for_device()
  contest = Contest(
    make={
      "default": functools.partial(_jax_runner, settings, dataset),
      "plain": functools.partial(_jax_runner, plain, dataset),
      "pytorch": functools.partial(_pytorch_runner, pytorch, device, settings, dataset),
    },
    steps={"default": n_steps, "plain": plain_steps, "pytorch": n_steps},
    until_goal=("pytorch",),
  )
  judge = load_classifier_measures(dataset)
  measure = functools.partial(_measure, judge)
  return compare([race(contest, seed, measure) for seed in range(rounds)], dataset.name)


def race(contest: Contest, seed: int, measure: Callable[[np.ndarray], dict]) -> dict[str, list]:
  """Lets the ways of one seed take turns.

  Returns:
    By way, a row for each turn: its `seconds` of training until then, and its `MEASURES`.
  """
  runners = {way: make(seed) for way, make in contest.make.items()}
  curves = {way: [] for way in runners}
  for turn in range(_N_TURNS):
    for way, runner in runners.items():
      curve, steps = curves[way], contest.steps[way]
      if way in contest.until_goal and curve and _is_readable(curve[-1]):
        continue
      n_steps = steps * (turn + 1) // _N_TURNS - steps * turn // _N_TURNS
      started = time.perf_counter()
      runner.train(n_steps)
      seconds = time.perf_counter() - started + (curve[-1]["seconds"] if curve else 0)
      seen = measure(runner.sample(N_FEATURES_OF))
      curve.append({"seconds": seconds} | {name: seen[name] for name in MEASURES})
  return curves


def compare(curves: list[dict[str, list]], dataset: str) -> Measurement:
  """Summarizes the curves of all seeds.

  PyTorch, if it does not reach the goal, is counted as if it had at its end: the ratio is then a
  lower bound. It is 0 where the main job does not reach its goal.
  """
  sooner, than_plain = [], []
  for own in curves:
    theirs = _seconds(own["pytorch"], _is_readable) or own["pytorch"][-1]["seconds"]
    sooner.append(_ratio(theirs, _seconds(own["default"], _is_readable)))
    last = own["plain"][-1]
    as_good = functools.partial(_is_as_good, than=last)
    than_plain.append(_ratio(last["seconds"], _seconds(own["default"], as_good)))
  details = {"dataset": dataset, "times_sooner_than_plain": MedianRange.of(than_plain)}
  return Measurement(MedianRange.of(sooner), "x sooner", details | {"curves": curves})


def draw_quality(path: pathlib.Path, measurement: Measurement) -> None:
  """Draws the measures against seconds, a line for each way and seed."""
  from matplotlib.figure import Figure

  from experiments.figures.pictures import render

  names = {"default": "wgan_jax", "plain": "wgan_jax, plain DCGAN", "pytorch": "PyTorch eager"}
  labels = {
    "frechet": "classifier Fréchet distance",
    "precision": "precision",
    "readable": "readable share",
  }
  figure = Figure(figsize=(11, 3.4), layout="constrained")
  for place, name in enumerate(MEASURES, 1):
    axes = figure.add_subplot(1, len(MEASURES), place)
    for seed, own in enumerate(measurement.details["curves"]):
      for color, (way, curve) in enumerate(own.items()):
        seconds, values = ([row[key] for row in curve] for key in ("seconds", name))
        label = names[way] if seed == 0 else None
        axes.plot(seconds, values, color=f"C{color}", linewidth=1.2, label=label)
    axes.set(xlabel="seconds of training", ylabel=labels[name])
    if name == "frechet":
      axes.set_yscale("log")
      axes.legend(fontsize=8)
    elif name == "readable":
      axes.axhline(_GOAL, color="gray", linewidth=0.8, linestyle=":")
  figure.suptitle(f"{measurement.details['dataset']}: samples while training", fontsize=10)
  write_bytes(path, render(figure))


def _measure(judge, images):
  """Measures samples; NaN for each measure if one of them is not finite."""
  finite = np.isfinite(images).all()
  return judge.measure(judge.inspect(images)) if finite else dict.fromkeys(MEASURES, math.nan)


def _is_readable(row):
  return row["readable"] >= _GOAL


def _is_as_good(row, than):
  return row["frechet"] <= than["frechet"]


def _seconds(curve, reached):
  """When a goal was reached; None if it never was."""
  return next((row["seconds"] for row in curve if reached(row)), None)


def _ratio(theirs, ours):
  return 0.0 if ours is None else theirs / ours


def _jax_runner(settings: Settings, dataset: Dataset, seed: int) -> Runner:
  engine, networks = _engine(settings, dataset, seed), settings.networks()
  members = engine.init()

  def train(n_steps):
    nonlocal members
    while n_steps:
      part = min(n_steps, _CAPACITY)
      members, _ = engine.chunk(members, part)
      n_steps -= part
    jax.block_until_ready(members)

  def sample(n):
    return generate_many(networks, _state(members), jax.random.key(seed), n)

  return Runner(train, sample)


def _pytorch_runner(pytorch, device, settings: Settings, dataset: Dataset, seed: int) -> Runner:
  state = _state(_engine(settings, dataset, seed).init())
  return pytorch.make_runner(settings, dataset, device, state)


def _engine(settings, dataset, seed):
  return Engine([dataclasses.replace(settings, seed=seed)], dataset, _CAPACITY)


def _state(members):
  return jax.tree.map(lambda leaf: leaf[0], members.state)
