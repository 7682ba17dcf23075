"""What a run tells of itself: what its steps told, and what is measured where the log has a line.

This is the one place where a measure is added: `make_boundary_measures` computes the fast ones,
`experiments.measures.slow` the slow ones, and `MEASURES` says how curves, tables and sweeps show
them.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.measures.samples import (
  N_MODE_SAMPLES,
  measuring_keys,
  mode_measures,
  sliced_distance,
)
from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings
from wgan_jax.diagnostics import clipped_share
from wgan_jax.penalties import gradient_norms, interpolate
from wgan_jax.training import Config, Info, State, generate
from wgan_jax.types import Pair

_N_DIRECTIONS = 1000


def make_boundary_measures(
  config: Config, networks: Pair, dataset: Dataset
) -> Callable[..., dict[str, jax.Array]]:
  """Builds `measure(state, hparams, train, held_out) -> {name: []}`, what every line holds.

  The estimate on held-out data sets c(x) on held-out samples against c(g(z)) on generated ones. The
  sliced distance is between the same, and asks no critic. Without a penalty, the norms on x_hat are
  computed here too, on a training batch. Of points: the modes, where there are; the cosine with the
  optimal gradient, where it is known.

  Args:
    config: the run's static choices.
    networks: its networks.
    dataset: its data.

  Returns:
    The function, to be jitted. Its draws depend on the state's key and step alone.
  """
  toy = dataset.toy

  def measure(state: State, hparams, train, held_out) -> dict:
    keys = measuring_keys(state)
    critic_fn = functools.partial(networks.critic.apply, state.critic_params)
    scores = jax.vmap(critic_fn)
    fake = generate(networks, state, keys["held_out"], held_out.shape[0])
    estimate = config.loss_row.estimate(scores(held_out), scores(fake))
    measured = {
      f"held_out_{config.loss_row.estimate_name}": estimate,
      "sliced_wasserstein": sliced_distance(fake, held_out),
    }
    if config.penalty_row.cost is None:
      real = dataset.sample_real(keys["real"], train, config.batch_size)
      fake = generate(networks, state, keys["fake"], config.batch_size)
      norms = gradient_norms(critic_fn, interpolate(keys["epsilon"], real, fake))
      measured |= {"gradient_norm_mean": norms.mean(), "gradient_norm_max": norms.max()}
    if config.penalty == "clip":
      measured["clipped_share"] = clipped_share(state.critic_params, hparams.clip_value)
    if toy is not None and toy.modes is not None:
      samples = generate(networks, state, keys["modes"], N_MODE_SAMPLES)
      measured |= mode_measures(samples, toy.modes)
    if toy is not None and toy.generator is not None:
      real, _, optimal = toy.sample_coupling(keys["directions"], train, _N_DIRECTIONS)
      gradients = jax.vmap(jax.grad(critic_fn))(real)
      # Of the two as vector fields; the optimal one has norm 1 everywhere.
      size = jnp.sqrt(jnp.mean(jnp.sum(gradients**2, axis=1)))
      inner = jnp.mean(jnp.sum(gradients * optimal, axis=1))
      measured["gradient_cosine"] = inner / jnp.maximum(size, 1e-30)
      measured["true_wasserstein"] = jnp.float32(dataset.true_wasserstein)
    return measured

  return measure


def rows_of(info: Info) -> list[dict]:
  """One plain dict a step, of Info on the host; a float32 keeps its value as a Python float."""
  columns = {name: values.tolist() for name, values in info._asdict().items() if name != "finite"}
  return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def summarise(rows: list[dict], settings: Settings) -> dict:
  """The part of a line of metrics that the steps told: means; of the largest norms the largest."""
  means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}
  config = settings.config()
  line = {config.loss_row.estimate_name: means["estimate"]}
  if config.penalty_row.cost is not None:
    line["gradient_penalty"] = means["gradient_penalty"]
    line["gradient_norm_mean"] = means["gradient_norm_mean"]
    line["gradient_norm_max"] = max(row["gradient_norm_max"] for row in rows)
  return line | {name: means[name] for name in ("critic_loss", "generator_loss")}
