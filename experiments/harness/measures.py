"""What a run tells of itself: what its steps told, and what is measured where the log has a line.

This is the one place where a measure is added: `make_boundary_measures` computes it, `MEASURES`
says how curves, tables and sweeps show it.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax

from experiments.harness.settings import Settings
from wgan_jax.data.images import sample_images, to_unit
from wgan_jax.losses import LOSSES
from wgan_jax.penalties import gradient_norms, interpolate
from wgan_jax.training import Config, Info, State
from wgan_jax.transport import sliced_wasserstein
from wgan_jax.types import Pair

N_HELD_OUT = 500
N_PROJECTIONS = 256


class Measure(NamedTuple):
  """How a measure is shown.

  Attributes:
    title: its name in words.
    label: of an axis, with the unit.
  """

  title: str
  label: str


# What a sweep compares its members by.
MEASURES = {
  "sliced_wasserstein": Measure("sliced distance, samples to held out", "SW1 (pixels)"),
  "held_out_wasserstein_estimate": Measure("held-out Wasserstein estimate", "E c(x) - E c(g(z))"),
  "held_out_jensen_shannon_estimate": Measure("held-out Jensen-Shannon estimate", "nats"),
  "gradient_norm_max": Measure("largest gradient norm on x_hat", "gradient norm"),
}
# A run is at its best where this is smallest: it judges the samples, whatever the loss and penalty.
BEST_BY = "sliced_wasserstein"


def estimate_name(loss: str) -> str:
  """What the critic's loss is an estimate of, as a metric's name."""
  return "wasserstein_estimate" if loss == "wasserstein" else "jensen_shannon_estimate"


def make_boundary_measures(config: Config, networks: Pair) -> Callable[..., dict]:
  """Builds `measure(state, train_images, held_out) -> {name: []}`.

  The estimate on held-out data sets c(x) on test images against c(g(z)) on samples as a user gets
  them, with the running statistics. The sliced distance is between the same images and samples, in
  pixel space, and asks no critic. Without a penalty, the norms on x_hat are computed here too,
  on a training batch.

  Args:
    config: the run's static choices.
    networks: its networks.

  Returns:
    The function, to be jitted. Its draws depend on the state's key and step alone.
  """
  critic, generator, latent_dim = networks

  def generate(state, key, n):
    latents = jax.random.normal(key, (n, latent_dim))
    return generator.apply(state.generator_params, state.batch_stats, latents, train=False)[0]

  def measure(state: State, train_images, held_out) -> dict:
    # The training step splits this key; folding in its own number leaves those draws alone.
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0x6D656173)
    key_held_out, key_fake, key_real, key_epsilon = jax.random.split(key, 4)
    critic_fn = functools.partial(critic.apply, state.critic_params)
    scores = jax.vmap(critic_fn)
    fake = generate(state, key_held_out, held_out.shape[0])
    estimate = LOSSES[config.loss].estimate(scores(to_unit(held_out)), scores(fake))
    # Always the same lines: runs and steps are compared with less noise.
    key_lines = jax.random.key(0x6C696E65)
    sliced = sliced_wasserstein(key_lines, fake, to_unit(held_out), N_PROJECTIONS)
    measured = {
      f"held_out_{estimate_name(config.loss)}": estimate,
      "sliced_wasserstein": sliced,
    }
    if config.penalty_fn is None:
      real = sample_images(key_real, train_images, config.batch_size)
      fake = generate(state, key_fake, config.batch_size)
      norms = gradient_norms(critic_fn, interpolate(key_epsilon, real, fake))
      measured |= {"gradient_norm_mean": norms.mean(), "gradient_norm_max": norms.max()}
    return measured

  return measure


def rows_of(info: Info) -> list[dict]:
  """One plain dict a step, of Info on the host; a float32 keeps its value as a Python float."""
  columns = {name: values.tolist() for name, values in info._asdict().items() if name != "finite"}
  return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def summarise(rows: list[dict], settings: Settings) -> dict:
  """The part of a line of metrics that the steps told: means; of the largest norms the largest."""
  means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}
  line = {estimate_name(settings.loss): means["estimate"]}
  if settings.config().penalty_fn is not None:
    line["gradient_penalty"] = means["gradient_penalty"]
    line["gradient_norm_mean"] = means["gradient_norm_mean"]
    line["gradient_norm_max"] = max(row["gradient_norm_max"] for row in rows)
  return line | {name: means[name] for name in ("critic_loss", "generator_loss")}
