"""Measures of a critic: its estimates, certificates and gradients, and what it teaches."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from experiments.measures.rows import CRITICS, TRAINING, Measure, Run, View
from experiments.measures.samples import exact_distance, fake
from experiments.measures.training import largest_of, mean_of
from wgan_jax import LOSSES, Params, generate, gradient_norms, interpolate, wasserstein_estimate
from wgan_jax.data.toy import Coupling
from wgan_jax.diagnostics import generator_gradient_norms, generator_losses, update_cosine
from wgan_jax.layers import Layer
from wgan_jax.lipschitz import (
  bound_clipped,
  certified_distance,
  certify,
  confident_distance,
  largest_gradient_norm,
)
from wgan_jax.objectives import make_objectives
from wgan_jax.training import make_optimizer
from wgan_jax.types import CriticFn

_N_DIRECTIONS = 1000  # Real points at which the critic's gradient is compared with the optimal one.
_N_SEARCHED = 256  # Real and generated samples from which large gradients are looked for.

# By name of the estimate: title, short name, label, and the meaning of the held-out estimate.
_ESTIMATES = {
  "wasserstein_estimate": ("Wasserstein estimate", "W", "E c(x) - E c(g(z))",
    "The critic's estimate on data that it was not trained on. It is in units of the critic's own"
    " slope: between clip values, or between clipping and a penalty, its sizes do not compare."),
  "jensen_shannon_estimate": ("Jensen-Shannon estimate", "JS", "nats",
    "At most log 2 = 0.693, where the discriminator is sure."),
}  # fmt: skip


def rows() -> list[Measure]:
  """The measures of a critic; each loss has its estimate, so they depend on `LOSSES`."""
  needs = (fake, scores, difference, critic_params)
  certified = functools.partial(
    Measure, group=CRITICS, slow=True, applies=has_layers, needs=needs, finish=_certificate
  )
  return [
    *_estimates(),
    certified("certified_wasserstein", "certified lower bound of the exact distance", "W1",
      "The critic's difference of mean scores over its certified Lipschitz bound: proven, and"
      " loose.", panel="Wasserstein estimate, and the distance", order=1, short="certified W1"),
    certified("confident_wasserstein", "lower bound of the distance, with 95 % confidence", "W1",
      "Of the distance between data and generator, not between two samples of them: the certified"
      " bound, less what the means of so many scores may be off.",
      panel="Wasserstein estimate, and the distance", order=1, short="W1 at least"),
    Measure("clipped_wasserstein", "held-out estimate over the clip value's Lipschitz bound", "W1",
      "No critic clipped so is steeper than that bound, which is known before training: at most the"
      " distance, and far below it.",
      CRITICS, applies=lambda run: _clipped_bound(run) is not None, compute=_clipped_estimate),
    certified("certified_gap", "exact distance less the certified bound", "W1",
      "Never below 0; how much is not proven."),
    certified("lipschitz_bound", "certified Lipschitz bound of the critic", "slope",
      "The constant is at most that, proven.", panel="Lipschitz constant of the critic", order=1),
    Measure("true_wasserstein", "true distance", "W1",
      "Known: between the data and the generator that comes with them.",
      CRITICS, "Wasserstein estimate, and the distance", order=1, applies=_given_generator,
      compute=lambda view: jnp.float32(view.run.dataset.true_wasserstein)),
    Measure("gradient_cosine", "cosine of the critic's gradient and the optimal one", "cosine",
      "Of the two as vector fields over real points, E <g, g*> / sqrt(E |g|^2 E |g*|^2); 1 for the"
      " optimal critic, 0 for one that teaches nothing.",
      CRITICS, "cosines", short="cosine", applies=_given_generator, compute=_gradient_cosine),
    *(Measure(f"generator_gradient_{loss}", f"generator's gradient norm, {loss} loss", "norm",
      "What this loss would teach the generator, with the critic as it is.",
      TRAINING, "generator's gradient by loss", order=list(generator_losses()).index(loss),
      slow=True, compute=_generator_gradients,
      applies=lambda run: not _given_generator(run))  # A given one has no parameters.
      for loss in sorted(generator_losses())),
    Measure("gradient_norm_found", "largest gradient norm found in the data's box", "gradient norm",
      "By a search: the critic's Lipschitz constant is at least that.",
      CRITICS, "Lipschitz constant of the critic", slow=True, compute=_search,
      applies=lambda run: run.labels is None),  # A conditional critic has a constant a class.
    Measure("update_cosine", "cosine of the critic's step and its negative gradient", "cosine",
      "Below 0, momentum carries the critic uphill.",
      TRAINING, "cosines", slow=True, compute=_update_cosine),
    Measure("estimate_gap", "held-out estimate less the exact distance", "W1",
      "Of the same two samples. Above 0, the critic is steeper than 1.",
      CRITICS, slow=True, needs=(fake, difference), finish=_estimate_gap,
      applies=lambda run: run.config.loss_row.estimate is wasserstein_estimate),
    Measure("gradient_penalty", "gradient penalty, without lambda", "penalty",
      panel="gradient penalty, without lambda", short="penalty",
      applies=lambda run: run.config.penalty_row.cost is not None,
      of_steps=mean_of("gradient_penalty")),
    Measure("gradient_norm_mean", "mean gradient norm", "gradient norm",
      panel="gradient norms at the penalty's points", short="|grad| mean",
      of_steps=mean_of("gradient_norm_mean"), compute=_norms),
    Measure("gradient_norm_max", "largest gradient norm", "gradient norm",
      "With a penalty the largest at its points, over all steps of the interval; otherwise the"
      " largest between real and generated samples, on one batch at its end. Near 1 with gp; under"
      " clipping it shows how the bound on the weights bounds the slope.",
      CRITICS, "gradient norms at the penalty's points", short="max",
      of_steps=largest_of("gradient_norm_max"), compute=_norms),
  ]  # fmt: skip


def _estimates() -> list[Measure]:
  """Two rows for each estimate: of the steps, and of held-out data against samples."""
  found = {}
  for loss in LOSSES.values():
    name, words = loss.estimate_name, loss.estimate_name.replace("_", " ")
    title, short, label, meaning = _ESTIMATES.get(
      name, (words, words.removesuffix(" estimate"), loss.unit, "On data that are held out.")
    )
    shared = {
      "panel": title + ", and the distance" * (name == "wasserstein_estimate"),
      "applies": lambda run, name=name: run.config.loss_row.estimate_name == name,
    }
    found[name] = Measure(name, title, label, short=short, of_steps=mean_of("estimate"), **shared)
    found[f"held_out_{name}"] = Measure(
      f"held_out_{name}", f"held-out {title}", label, meaning, CRITICS,
      short=f"held-out {short}", compute=_held_out_estimate, **shared,
    )  # fmt: skip
  return list(found.values())


def _held_out_estimate(view: View) -> jax.Array:
  return view.run.config.loss_row.estimate(*view.once(scores))


def difference(view: View) -> jax.Array:
  """Difference of the critic's mean scores of held-out data and `fake`, []."""
  return wasserstein_estimate(*view.once(scores))


def scores(view: View) -> tuple[jax.Array, jax.Array]:
  """The critic's scores of held-out data and of `fake`, [n] each."""

  def score(x):
    return jax.vmap(view.critic_fn)(x, *view.labels(len(x)))

  return score(view.held_out), score(view.once(fake))


def certified_measures(
  layers: Sequence[Layer], sample_shape: tuple[int, ...], scores: Sequence, exact: float
) -> dict[str, float]:
  """Lower bounds of the distance that a critic certifies; NaN for a non-finite exact distance.

  They divide by the critic's certified Lipschitz bound, so they hold with any loss.

  Args:
    layers: the critic's layers.
    sample_shape: shape of one sample.
    scores: the critic's scores of two samples, [n] each.
    exact: exact distance of the same two samples.
  """
  bound = certify(layers, sample_shape).bound
  certified = confident = math.nan
  if math.isfinite(exact):
    certified = certified_distance(float(wasserstein_estimate(*scores)), bound)
    confident = confident_distance(*scores, bound)
  return {
    "certified_wasserstein": certified,
    "confident_wasserstein": confident,
    "certified_gap": exact - certified,
    "lipschitz_bound": bound,
  }


def has_layers(run: Run) -> bool:
  """Whether the critic lists its layers, without which there is no certificate."""
  return run.networks.critic.layers is not None


def critic_params(view: View) -> Params:
  """The critic's parameters, for the host."""
  return view.state.critic_params


def _clipped_bound(run: Run):
  """K of the clip value, a polynomial; None where nothing is clipped or nothing known."""
  clips = "clip_value" in run.config.penalty_row.reads
  if not clips or run.networks is None or run.config.loss_row.estimate is not wasserstein_estimate:
    return None
  try:
    return bound_clipped(run.networks.critic, run.dataset.sample_shape)
  except ValueError:
    return None


def _clipped_estimate(view: View) -> jax.Array:
  bound = jnp.float32(0)
  for coefficient in _clipped_bound(view.run).coef[::-1]:
    bound = bound * view.hparams.clip_value + coefficient
  return view.once(difference) / bound


def _certificate(view: View) -> dict[str, float]:
  layers = view.run.networks.critic.layers(view.once(critic_params))
  value = float(view.once(difference))
  # Finite parameters may give scores that are not.
  exact = view.once(exact_distance) if math.isfinite(value) else math.nan
  return certified_measures(layers, view.run.dataset.sample_shape, view.once(scores), exact)


def _estimate_gap(view: View) -> float:
  value = float(view.once(difference))
  return value - view.once(exact_distance) if math.isfinite(value) else math.nan


def _given_generator(run: Run) -> bool:
  return run.dataset.toy is not None and run.dataset.toy.generator is not None


def _norms(view: View) -> dict[str, jax.Array]:
  """Mean and largest gradient norm on x_hat, between a training batch and samples."""
  batch_size = view.run.config.batch_size
  real, *labels = view.draw_real(view.keys["real"], batch_size)
  networks, key = view.run.networks, view.keys["fake"]
  given = {"labels": labels[0]} if labels else {}
  samples = generate(networks, view.state, key, batch_size, averaged=False, **given)
  norms = gradient_norms(view.critic_fn, interpolate(view.keys["epsilon"], real, samples), *labels)
  return {"gradient_norm_mean": norms.mean(), "gradient_norm_max": norms.max()}


def gradient_cosine(critic_fn: CriticFn, pairs: Coupling) -> jax.Array:
  """The cosine of a critic's gradient and the optimal one at the real points, as vector fields."""
  gradients = jax.vmap(jax.grad(critic_fn))(pairs.real)
  # The optimal one has norm 1 everywhere.
  size = jnp.sqrt(jnp.mean(jnp.sum(gradients**2, axis=1)))
  inner = jnp.mean(jnp.sum(gradients * pairs.gradient, axis=1))
  return inner / jnp.maximum(size, 1e-30)


def _gradient_cosine(view: View) -> jax.Array:
  draw = view.run.dataset.toy.sample_coupling
  return gradient_cosine(view.critic_fn, draw(view.keys["directions"], view.train, _N_DIRECTIONS))


def _search(view: View) -> jax.Array:
  box = jnp.full(view.run.dataset.sample_shape, view.run.dataset.extent)
  starts = jnp.concatenate([view.held_out[:_N_SEARCHED], view.once(fake)[:_N_SEARCHED]])
  return largest_gradient_norm(view.keys["search"], view.critic_fn, -box, box, starts)[0]


def _generator_gradients(view: View) -> dict[str, jax.Array]:
  config, networks, state = view.run.config, view.run.networks, view.state
  latents = jax.random.normal(view.keys["latents"], (config.batch_size, networks.latent_dim))
  _, *labels = view.draw_real(view.keys["real"], config.batch_size)
  norms = generator_gradient_norms(
    networks, state.critic_params, state.generator_params, state.batch_stats, latents, *labels
  )
  return {f"generator_gradient_{loss}": norm for loss, norm in norms.items()}


def _update_cosine(view: View) -> jax.Array:
  config, networks, state = view.run.config, view.run.networks, view.state
  key_real, key_latents, key_epsilon = jax.random.split(view.keys["batch"], 3)
  real, *labels = view.draw_real(key_real, config.batch_size)
  latents = jax.random.normal(key_latents, (config.batch_size, networks.latent_dim))
  samples, _ = networks.generator.apply(
    state.generator_params, state.batch_stats, latents, *labels, train=True
  )
  objective = make_objectives(config.loss_row, config.penalty_row, networks).critic
  gradients, _ = jax.grad(objective, has_aux=True)(
    state.critic_params, key_epsilon, real, samples, view.hparams.lambda_gp, *labels
  )
  optimizer = make_optimizer(config, view.hparams)
  updates, _ = optimizer.update(gradients, state.critic_opt_state, state.critic_params)
  return update_cosine(updates, gradients)
