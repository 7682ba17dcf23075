"""Course, row 3: the binary cross-entropy and the minimax game, against what is known of them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, picture
from experiments.claims.summary import by_seed
from wgan_jax import LOSSES, Config, Hparams, generate, transport
from wgan_jax.data.toy import Mixture, fixed_generator, sample_mixture
from wgan_jax.networks import mlp

_CELL = 0.01
_X = np.arange(-10, 10 + _CELL / 2, _CELL)
_CENTRE, _SIGMA, _FAKE_SIGMA = 1.5, 0.5, 1.5
# Real: two heaps. Fake, where the generator is fixed: one broad heap over both.
_P = (scipy.stats.norm.pdf(_X, -_CENTRE, _SIGMA) + scipy.stats.norm.pdf(_X, _CENTRE, _SIGMA)) / 2
_Q = scipy.stats.norm.pdf(_X, scale=_FAKE_SIGMA)
# On the host: JAX is not to be used before the launcher has chosen its devices.
_DATA = Mixture(np.array([[-_CENTRE], [_CENTRE]], np.float32), np.float32(_SIGMA))
_GAMES = {"minimax": "tab:red", "nonsaturating": "tab:orange"}
_N = 4096  # Samples that a trained generator is judged by.
_SCORES = np.linspace(-12, 12, 97)


def _measure(lab, *, seeds, steps, width):
  scores = _train_discriminators(lab, seeds, steps, width)
  d = np.exp(-np.logaddexp(0, -scores))
  optimum = _P / (_P + _Q)
  divergence = float(transport.jensen_shannon(jnp.array(_P), jnp.array(_Q)))
  losses = _CELL * (_P * np.logaddexp(0, -scores) + _Q * np.logaddexp(0, scores)).sum(1)
  losses_of = {name: LOSSES[name].generator for name in _GAMES}
  slopes = {k: jax.vmap(jax.grad(lambda c, f=f: f(c[None])))(_SCORES) for k, f in losses_of.items()}
  numbers = {
    "jensen_shannon": divergence,
    "loss_known": 2 * math.log(2) - 2 * divergence,
    "loss": losses.tolist(),
    # The mean over real and fake samples, as where there are none nothing is learned.
    "off_optimum": (_CELL * ((_P + _Q) / 2 * np.abs(d - optimum)).sum(1)).tolist(),
    "slopes": {name: each.tolist() for name, each in slopes.items()},
    "games": {name: _play(lab, name, seeds, steps, width) for name in _GAMES},
  }
  known = f"discriminator's loss, known {numbers['loss_known']:.4f}"
  rows = {known: losses, "mean |d - p / (p + q)|": numbers["off_optimum"]}
  for name, game in numbers["games"].items():
    rows |= {f"{name}: {key}": values for key, values in game.items()}
  table = [{"what": what, "by seed": by_seed(values, ".4f")} for what, values in rows.items()]
  return Evidence(numbers, table, [_draw(d, optimum), _draw_slopes(slopes)])


def _train_discriminators(lab, seeds, steps, width):
  """Trains on the two known densities; returns scores on the grid, [seeds, cells]."""
  generator = fixed_generator(lambda latents: _FAKE_SIGMA * latents)
  pair = mlp((1,), latent_dim=1, width=width)._replace(generator=generator)

  def look(key, state, data):
    scores = jax.vmap(lambda x: pair.critic.apply(state.critic_params, x))
    return {"scores": scores(jnp.float32(_X[:, None]))}

  config = Config("minimax", "none", n_critic=1, batch_size=1024, fixed_generator=True)
  hparams = Hparams(1e-3, 0.5, 0.999, decay_steps=steps)
  found = lab.observe(config, pair, (sample_mixture, _DATA), hparams, seeds, [steps], look)
  return found.seen["scores"][:, -1].astype(np.float64)


def _play(lab, loss, seeds, steps, width):
  """Trains both networks; returns W1 to the data at both ends of the game, and the last loss."""
  pair = mlp((1,), latent_dim=1, width=width)

  def look(key, state, data):
    return {"samples": generate(pair, state, key, _N)[:, 0]}

  config = Config(loss, "none", n_critic=1, batch_size=256)
  hparams = Hparams(1e-3, 0.5, 0.999, decay_steps=steps)
  found = lab.observe(config, pair, (sample_mixture, _DATA), hparams, seeds, [0, steps], look)
  # Against the data's own quantiles: no second sample.
  quantiles = np.interp((np.arange(_N) + 0.5) / _N, np.cumsum(_P) * _CELL, _X)
  distances = np.abs(np.sort(found.seen["samples"], -1) - quantiles).mean(-1)
  start, end = distances.T.tolist()
  losses = found.info.critic_loss[:, -min(steps, 100) :].mean(1).tolist()
  return {"start": start, "end": end, "loss": losses}


def _criterion(numbers):
  known, loss = numbers["loss_known"], np.array(numbers["loss"])
  off = np.array(numbers["off_optimum"])
  slopes = np.array([numbers["slopes"][name] for name in _GAMES])
  # The optimum is the least loss that there is.
  optimal = np.all((np.abs(loss / known - 1) < 0.03) & (loss > known * (1 - 1e-4)) & (off < 0.03))
  # Both push the scores of fakes up, the same at d = 1/2; only one goes flat where d is 0.
  alike = np.all(slopes < 0) and np.all(np.abs(slopes[:, slopes.shape[1] // 2] + 0.5) < 1e-3)
  holds = optimal and alike and abs(slopes[0, 0]) < 1e-4 and slopes[1, 0] < -0.99
  falls = {}
  for name, game in numbers["games"].items():
    falls[name] = np.array(game["end"]) / np.array(game["start"])
    ends = np.abs(np.array(game["loss"]) / (2 * math.log(2)) - 1)
    holds = holds and np.all((falls[name] < 1 / 3) & (ends < 0.05))
  games = ", ".join(f"{name} to {each.max():.2f}" for name, each in falls.items())
  return verdict(
    holds,
    f"The discriminator's loss is {loss.mean():.4f}, 2 log 2 - 2 JS = {known:.4f}; d is off p / (p"
    f" + q) by {off.max():.3f} on average. Of its distance at the start a game brings the"
    f" generator, in its worst seed: {games}.",
  )


def _draw(d, optimum):
  figure, axes = make_panels(size=(6.4, 3.8))
  axes.fill_between(_X, _P, alpha=0.3, color="tab:green", label="p, real")
  axes.fill_between(_X, _Q, alpha=0.3, color="tab:red", label="q, fake")
  lines_by_seed(axes, _X, d, "d, trained", color="tab:blue")
  axes.plot(_X, optimum, "k--", lw=1, label="p / (p + q)")
  axes.set(xlabel="x", ylabel="density; probability", xlim=(-5, 5), ylim=(0, 1.02))
  caption = f"Two known densities and discriminators trained on them; {len(d)} seeds, a curve each."
  return picture(figure, caption)


def _draw_slopes(slopes):
  figure, axes = make_panels(size=(5.6, 3.4))
  for name, colour in _GAMES.items():
    axes.plot(_SCORES, np.abs(slopes[name]), color=colour, label=name)
  axes.set(xlabel="score of a fake, the logit of d", ylabel="|slope of the generator's loss|")
  caption = "What one fake's score teaches the generator with either loss; exact, no seeds."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="cross_entropy", place=3, source="Course, row 3",
  sentence="With the binary cross-entropy the discriminator learns how likely a sample is real, and"
  " generator and discriminator play a minimax game over that one loss.",
  settings="On the line: real, two normal heaps at +-1.5; fake, a broad one. MLP of 3 layers, Adam"
  " 1e-3 falling to 0, batch 1,024. Games: a generator learns too, batch 256.",
  criterion_text="In every seed: the discriminator's loss is 0 to 3 % above 2 log 2 - 2 JS, d off p"
  " / (p + q) by less than 0.03 on average. Generator losses have a negative slope in a fake's"
  " score, -1/2 where d is 1/2; where d goes to 0 minimax's goes to 0, the other's to -1. Games end"
  " below a third of the first distance, at a loss of 2 log 2 to 5 %.",
  quick=dict(seeds=2, steps=3000, width=64), full=dict(seeds=5, steps=20_000, width=256),
  tiny=dict(seeds=1, steps=3, width=4), minutes=dict(quick=0.7, full=3.0),
)  # fmt: skip
