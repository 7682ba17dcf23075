"""Measures of training: means over steps, and the weights at the clipping bound."""

import math
from collections.abc import Callable

from experiments.measures.rows import TRAINING, Measure
from wgan_jax.diagnostics import clipped_share
from wgan_jax.types import Info


def rows() -> list[Measure]:
  """The measures of training."""
  return [
    Measure("critic_loss", "critic's loss", "loss", panel="losses, both minimised",
      short="critic loss", of_steps=mean_of("critic_loss")),
    Measure("generator_loss", "generator's loss", "loss", panel="losses, both minimised",
      short="generator loss", of_steps=mean_of("generator_loss")),
    Measure("clipped_share", "share of the critic's weights at the clipping bound", "share",
      "Near 1, clipping decides them.", TRAINING, "weights at the clipping bound",
      applies=lambda run: "clip_value" in run.config.penalty_row.reads,
      compute=lambda view: clipped_share(view.state.critic_params, view.hparams.clip_value)),
  ]  # fmt: skip


def mean_of(name: str) -> Callable[[list[dict]], float]:
  """Mean over steps of a field of `Info`."""
  return lambda steps: math.fsum(step[name] for step in steps) / len(steps)


def largest_of(name: str) -> Callable[[list[dict]], float]:
  """Largest value over steps of a field of `Info`."""
  return lambda steps: max(step[name] for step in steps)


def rows_of(info: Info) -> list[dict]:
  """One plain dict a step, of Info on the host; a float32 keeps its value as a Python float."""
  columns = {name: values.tolist() for name, values in info._asdict().items() if name != "finite"}
  return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
