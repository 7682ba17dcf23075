"""The slow measures: what takes a solver, a classifier or gradients of its own to tell.

The device computes the samples and what networks tell of them, the host the rest, in float64.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measures.classes import Judge
from experiments.measures.samples import measuring_keys
from experiments.spec.datasets import Dataset
from wgan_jax.diagnostics import generator_gradient_norms, update_cosine
from wgan_jax.layers import Layer
from wgan_jax.lipschitz import certified_distance, certify, largest_gradient_norm
from wgan_jax.losses import wasserstein_estimate
from wgan_jax.objectives import make_objectives
from wgan_jax.training import Config, State, generate, make_optimizer
from wgan_jax.transport import wasserstein_exact
from wgan_jax.types import Pair

_N_SEARCHED = 256  # Real and generated samples from which large gradients are looked for.


def certified_measures(
  layers: Sequence[Layer], sample_shape: tuple[int, ...], difference: float, exact: float
) -> dict[str, float]:
  """What a critic's certificate tells of the exact distance of two samples; NaN without that.

  Args:
    layers: of the critic.
    sample_shape: of one sample.
    difference: of its mean scores, of the same two samples.
    exact: their exact distance.
  """
  bound = certify(layers, sample_shape).bound
  certified = certified_distance(difference, bound) if math.isfinite(exact) else math.nan
  return {
    "certified_wasserstein": certified,
    "certified_gap": exact - certified,
    "lipschitz_bound": bound,
  }


class ExactMeasures(NamedTuple):
  """The slow measures in two parts.

  Attributes:
    compute: (state, hparams, train, held_out, classifier_params) -> arrays, to be jitted; its draws
      depend on the state's key and step alone. The last are the judge's `params`, None without one.
    finish: those arrays on the host -> the measures, by name.
  """

  compute: Callable[..., dict]
  finish: Callable[[dict], dict[str, float]]


def make_exact_measures(
  config: Config, networks: Pair, dataset: Dataset, judge: Judge | None
) -> ExactMeasures:
  """Builds the slow measures of a run.

  The exact distance, the certified lower bound of it and the critic's difference of mean scores are
  of the same two samples, those of the line's held-out estimate. The bound divides the difference
  by the certified Lipschitz bound of the critic, so it holds with any loss.

  Args:
    config: the run's static choices.
    networks: its networks.
    dataset: its data.
    judge: of images; None for points.

  Returns:
    Both parts.
  """
  objectives = make_objectives(config.loss_row, config.penalty_row, networks)

  def compute(state: State, hparams, train, held_out, classifier_params) -> dict:
    keys = measuring_keys(state)
    critic_fn = functools.partial(networks.critic.apply, state.critic_params)
    scores = jax.vmap(critic_fn)
    fake = generate(networks, state, keys["held_out"], held_out.shape[0])
    arrays = {
      "fake": fake,
      "difference": wasserstein_estimate(scores(held_out), scores(fake)),
      "critic_params": state.critic_params,
      "told": {
        "update_cosine": _update_cosine(keys, state, hparams, train),
        "gradient_norm_found": _search(keys, critic_fn, held_out, fake),
      },
    }
    if jax.tree.leaves(state.generator_params):  # A given generator has none.
      latents = jax.random.normal(keys["latents"], (config.batch_size, networks.latent_dim))
      norms = generator_gradient_norms(
        networks, state.critic_params, state.generator_params, state.batch_stats, latents
      )
      arrays["told"] |= {f"generator_gradient_{loss}": norm for loss, norm in norms.items()}
    if judge is not None:
      arrays["seen"] = judge.look(
        classifier_params, lambda key, n: generate(networks, state, key, n), keys["classes"]
      )
    return arrays

  def _search(keys, critic_fn, held_out, fake):
    box = jnp.full(dataset.sample_shape, dataset.extent)
    starts = jnp.concatenate([held_out[:_N_SEARCHED], fake[:_N_SEARCHED]])
    return largest_gradient_norm(keys["search"], critic_fn, -box, box, starts)[0]

  def _update_cosine(keys, state, hparams, train):
    key_real, key_latents, key_epsilon = jax.random.split(keys["batch"], 3)
    real = dataset.sample_real(key_real, train, config.batch_size)
    latents = jax.random.normal(key_latents, (config.batch_size, networks.latent_dim))
    fake, _ = networks.generator.apply(
      state.generator_params, state.batch_stats, latents, train=True
    )
    gradients, _ = jax.grad(objectives.critic, has_aux=True)(
      state.critic_params, key_epsilon, real, fake, hparams.lambda_gp
    )
    updates, _ = make_optimizer(config, hparams).update(
      gradients, state.critic_opt_state, state.critic_params
    )
    return update_cosine(updates, gradients)

  def finish(arrays: dict) -> dict[str, float]:
    difference = float(arrays["difference"])
    # Finite parameters may give samples and scores that are not.
    finite = np.isfinite(arrays["fake"]).all() and np.isfinite(difference)
    exact = wasserstein_exact(dataset.held_out, arrays["fake"]) if finite else math.nan
    layers = networks.critic.layers(arrays["critic_params"])
    measured = {
      "exact_wasserstein": exact,
      **certified_measures(layers, dataset.sample_shape, difference, exact),
      **{name: float(value) for name, value in arrays["told"].items()},
    }
    if config.loss_row.estimate is wasserstein_estimate:
      measured["estimate_gap"] = difference - exact
    if judge is not None:
      measured |= judge.measure(arrays["seen"]) if finite else dict.fromkeys(judge.NAMES, math.nan)
    return measured

  return ExactMeasures(compute, finish)
