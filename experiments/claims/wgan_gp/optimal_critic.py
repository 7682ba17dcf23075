"""WGAN-GP, proposition 1: on the lines of the optimal coupling the critic's slope is 1."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import label_panel, make_panels, mark, outline, picture
from experiments.claims.summary import arrays, by_column, rows_by_seed, span
from wgan_jax import Config, Hparams, gradient_norms
from wgan_jax.data.toy import Coupling, Toy, fixed_generator, load_toy
from wgan_jax.networks.mlp import mlp

_PENALTIES = {"gp": "two-sided", "gp_one_sided": "one-sided"}
_TITLES = {"line": "on the line", "plane": "in the plane, 4 funnels"}
_PAIRS = 2000


def _two_heaps(latents):
  return 0.5 * jnp.sign(latents) + 0.1 * latents


def _couple_on_line(key, data, n):
  """Carries each heap outwards by 1: both maps of z rise, and such a coupling is optimal."""
  latents = jax.random.normal(key, (n, 1))
  fake = _two_heaps(latents)
  return Coupling(fake + jnp.sign(latents), fake, jnp.sign(latents))


def _draw_on_line(key, data, n):
  return _couple_on_line(key, data, n).real


def _measure(lab, *, seeds, steps, width, batch_size):
  hparams = Hparams(1e-3, 0.0, 0.9, 10.0, decay_steps=steps)
  line = Toy("line", 1, {}, _draw_on_line, None, fixed_generator(_two_heaps), _couple_on_line)
  toys = {"line": line, "plane": load_toy("funnels", n_funnels=4)}
  numbers, table, found = {}, [], {}
  for name, toy in toys.items():
    pair = mlp((toy.dim,), latent_dim=toy.dim, width=width)._replace(generator=toy.generator)
    for penalty, words in _PENALTIES.items():
      config = Config(penalty=penalty, n_critic=5, batch_size=batch_size, fixed_generator=True)
      look, source = functools.partial(_look, pair.critic, toy), (toy.sample_real, toy.data)
      looked = lab.observe(config, pair, source, hparams, seeds, [steps], look).seen
      found[name, penalty] = seen = {key: values[:, 0] for key, values in looked.items()}
      within = {key: (np.abs(seen[key] - 1) < 0.2).mean(1) for key in ("optimal", "random")}
      own = {
        "norm": seen["optimal"].mean(1),
        "within_a_fifth": within["optimal"],
        "norm_on_random_lines": seen["random"].mean(1),
        "within_a_fifth_on_random_lines": within["random"],
        "cosine": seen["cosines"].mean(1),
      }
      numbers[f"{name}_{penalty}"] = {key: values.tolist() for key, values in own.items()}
      table += rows_by_seed({"problem": _TITLES[name], "penalty": words}, own)
  return Evidence(numbers, table, [_draw(found, seeds)])


def _look(critic, toy, key, state, data):
  """Measures the gradients between the pairs of the optimal coupling, and of a random one."""
  key_pairs, key_epsilon, key_order = jax.random.split(key, 3)
  pairs = toy.sample_coupling(key_pairs, data, _PAIRS)
  epsilon = jax.random.uniform(key_epsilon, (_PAIRS, 1))
  critic_fn = functools.partial(critic.apply, state.critic_params)
  fake = jax.random.permutation(key_order, pairs.fake)
  x_hat = epsilon * pairs.real + (1 - epsilon) * pairs.fake
  norms = gradient_norms(critic_fn, x_hat)
  along = jnp.sum(jax.vmap(jax.grad(critic_fn))(x_hat) * pairs.gradient, axis=1)
  return {
    "optimal": norms,
    "random": gradient_norms(critic_fn, epsilon * pairs.real + (1 - epsilon) * fake),
    "cosines": along / jnp.where(norms > 0, norms, 1),
  }


def _criterion(numbers):
  holds, seen = True, []
  for name, title in _TITLES.items():
    own = by_column([numbers[f"{name}_{penalty}"] for penalty in _PENALTIES])
    norms, cosines, within = arrays(own, "norm", "cosine", "within_a_fifth")
    near = (norms >= 0.9) & (norms <= 1.1) & (within >= 0.75)
    holds &= bool(np.all(near & (cosines >= (0.95 if name == "line" else 0.8))))
    elsewhere = np.mean(own["within_a_fifth_on_random_lines"][1])
    seen.append(
      f"{title}: mean norms {span(norms, '.3f')}, {span(within, '.0%')} of them within a fifth of"
      f" 1, mean cosines {span(cosines, '.3f')} (one-sided, on the lines of random pairs,"
      f" {elsewhere:.0%} within a fifth)"
    )
  return verdict(holds, "; ".join(seen) + ".")


def _draw(found, seeds):
  figure, panels = make_panels(2, 2, sharex=True, size=(9, 5.6))
  edges = np.linspace(0, 1.5, 61)
  for axes, ((name, penalty), seen) in zip(panels.ravel(), found.items(), strict=True):
    for lines, colour in (("random", "tab:orange"), ("optimal", "tab:blue")):
      for seed, norms in enumerate(seen[lines]):
        label = None if seed else f"lines of {lines} pairs"
        outline(axes, norms, edges, label, color=colour, alpha=0.75)
    mark(axes, x=1)
    title = f"{_TITLES[name]}; {_PENALTIES[penalty]} penalty"
    label_panel(axes, title, yscale="log", ylim=(3e-4, 1.2))
  figure.supxlabel("gradient norm (score per unit of data)")
  figure.supylabel("share of points in a bin of 0.025")
  return picture(figure, f"Norms at {_PAIRS:,} points of the lines between pairs; {seeds} seeds.")


CLAIM = Claim(
  _measure, _criterion, name="optimal_critic", place=1,
  source="WGAN-GP, proposition 1 and corollary 1",
  sentence="The optimal critic has gradient norm 1, in the direction of the pair, almost everywhere"
  " on the lines between the pairs of an optimal coupling.",
  settings="Fixed generators whose optimal coupling is known: two heaps on the line, carried"
  " outwards by 1, and 4 funnels in the plane (Korotin et al., 2022). Adam 1e-3 falling to 0, betas"
  " (0, 0.9), lambda 10. The paper proves and runs nothing here; norms may exceed 1.",
  criterion_text="Every seed, on the optimal pairs' lines: mean norm within 0.9 and 1.1; at least"
  " 75 % within 0.2 of 1; mean cosine at least 0.95 on the line, 0.8 in the plane.",
  quick=dict(seeds=6, steps=1000, width=64, batch_size=256),
  full=dict(seeds=5, steps=20000, width=128, batch_size=1024),
  tiny=dict(seeds=1, steps=2, width=4, batch_size=8), minutes=dict(quick=1.5, full=6),
)  # fmt: skip
