"""Course, row 7: the W-loss; a critic's difference of mean scores is the Earth Mover's Distance."""

import math

import jax
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, overlaid_histograms, picture
from experiments.claims.summary import arrays, by_seed, even_steps, sigmoid, span
from wgan_jax import LOSSES, generate, wasserstein_critic_loss, wasserstein_estimate
from wgan_jax.layers import Dense

_METHODS = {"gp": ("wasserstein", "W-loss"), "nonsaturating": ("nonsaturating", "cross-entropy")}
_N = 4096  # New samples of each side.


def _measure(lab, *, seeds, steps, width):
  at = [0, *even_steps(steps, 20)]
  sets, scores = {}, {}
  for name in ("two_gaussians", "funnels"):
    sets[name], scores[name] = _train(lab, name, seeds, at, steps, width)
  table = [
    {"data": name, "exact W1": each["exact"]}
    | {f"{key}, by seed": by_seed([run[-1] for run in each[key]], ".3f") for key in _METHODS}
    | {f"{key}, by seed": by_seed(each[key], ".3f") for key in ("swapped", "lowest", "highest")}
    for name, each in sets.items()
  ]
  numbers = {"updates": at, "sets": sets}
  return Evidence(numbers, table, [_draw(numbers), _draw_scores(scores["two_gaussians"])])


def _train(lab, name, seeds, at, steps, width):
  """Trains on a data set with either loss; returns numbers, and the first seed's last scores."""
  numbers, scores = {}, {}
  for method, (loss, _) in _METHODS.items():
    runs = lab.settings(
      name, seeds, methods=method, width=width, schedule="linear", decay_steps=steps
    )
    networks, dataset = runs[0].networks(), runs[0].load(lab.data_dir)
    numbers["exact"] = dataset.true_wasserstein

    def look(key, state, data, networks=networks, dataset=dataset, loss=loss):
      key_real, key_latents = jax.random.split(key)
      apply = jax.vmap(lambda x: networks.critic.apply(state.critic_params, x))
      real = apply(dataset.sample_real(key_real, data, _N))
      fake = apply(generate(networks, state, key_latents, _N))
      estimate, swapped = LOSSES[loss].estimate(real, fake), wasserstein_estimate(fake, real)
      seen = {"real": real, "fake": fake, "estimate": estimate, "swapped": swapped}
      return seen | {"critic_loss": wasserstein_critic_loss(real, fake)}

    found = lab.observe_settings(runs, at, look)
    numbers[method] = found.seen["estimate"].tolist()
    last = {name: values[:, -1] for name, values in found.seen.items()}
    scores[method] = {side: last[side][0] for side in ("real", "fake")}
    if method == "gp":
      both = np.concatenate([last["real"], last["fake"]], axis=1)
      first = jax.tree.map(lambda leaf: leaf[0], found.state.critic_params)
      numbers |= {
        "lambda_gp": runs[0].lambda_gp,
        "critic_loss": last["critic_loss"].tolist(),
        "swapped": last["swapped"].tolist(),
        "real_above_fake": (last["real"].mean(1) - last["fake"].mean(1)).tolist(),
        "lowest": both.min(1).tolist(),
        "highest": both.max(1).tolist(),
        "last_layer_linear": isinstance(networks.critic.layers(first)[-1], Dense),
      }
  return numbers, scores


def _softness(each: dict):
  """Finds the K of the largest K W1 - lambda (K - 1)^2, which a critic K times too steep has."""
  return 1 + each["exact"] / (2 * each["lambda_gp"])


def _criterion(numbers):
  lines, holds = [], True
  for name, each in numbers["sets"].items():
    other, swapped, loss = arrays(each, "nonsaturating", "swapped", "critic_loss")
    critic, (lowest, highest) = np.array(each["gp"])[:, -1], arrays(each, "lowest", "highest")
    ratio, outside = critic / each["exact"], np.maximum(-lowest, highest - 1)
    # By the losses themselves, and by the scores: real ones are the higher.
    signs = [np.allclose(swapped, -critic, rtol=1e-4), np.allclose(loss, -critic, rtol=1e-4)]
    signs.append(np.allclose(each["real_above_fake"], critic, rtol=1e-3))
    near = (ratio >= 0.9) & (ratio <= 1.05 * _softness(each)) & (outside > 0)
    capped = (other <= math.log(2) + 1e-6).all() and each["last_layer_linear"]
    holds = holds and near.all() and all(signs) and capped
    lines.append(
      f"{name}: W1 is {each['exact']:.3f}, the critic's estimate {span(ratio, '.2f')} times that"
      f" (its soft penalty allows {_softness(each):.2f}), its scores {lowest.min():.1f} to"
      f" {highest.max():.1f}, the cross-entropy's estimate {other[:, -1].mean():.3f}"
    )
  ceiling = np.array(numbers["sets"]["two_gaussians"]["nonsaturating"])[:, -1] / math.log(2)
  holds = holds and (ceiling >= 0.95).all()
  return verdict(holds, "; ".join(lines) + " of at most log 2 = 0.693.")


def _draw(numbers):
  figure, panels = make_panels(1, 2, size=(8.5, 3.8))
  kinds = {"gp": ("W1", "tab:blue"), "nonsaturating": ("JS divergence, nats", "tab:red")}
  for axes, (name, each) in zip(panels, numbers["sets"].items(), strict=True):
    for method, (kind, colour) in kinds.items():
      label = f"{_METHODS[method][1]}: estimate of {kind}"
      lines_by_seed(axes, numbers["updates"], each[method], label, color=colour)
    axes.axhline(each["exact"], color="black", label="exact W1")
    axes.axhline(each["exact"] * _softness(each), ls="--", label="as a soft penalty allows")
    axes.axhline(math.log(2), color="gray", ls=":", label="log 2")
    axes.set(xlabel="steps", ylabel="estimate", title=name, ylim=(0, 1.35 * each["exact"]))
  caption = f"Estimates on {_N} new samples of each side; {len(each['gp'])} seeds, a curve each."
  return picture(figure, caption)


def _draw_scores(scores):
  figure, panels = make_panels(1, 2, size=(8.5, 3))
  for axes, (method, (_, title)) in zip(panels, _METHODS.items(), strict=True):
    sides, bins = scores[method], 40
    if method != "gp":
      sides, bins = {side: sigmoid(each) for side, each in sides.items()}, np.linspace(0, 1, 21)
    overlaid_histograms(axes, sides, bins)
    what = "c(x), any number" if method == "gp" else "d(x), a probability"
    axes.set(title=title, xlabel=what, ylabel="share of samples")
  caption = f"two_gaussians at the end, seed 0: outputs for {_N} real and {_N} generated points."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="w_loss", place=7, source="Course, row 7",
  sentence="The W-loss, the least over g of the most over c of E c(x) - E c(g(z)), has a critic"
  " whose output is any number, and approximates the Earth Mover's Distance.",
  settings="In the plane, two Gaussians 4 apart and 4 funnels, each with a fixed generator. MLP"
  " critics of 3 layers, Adam 1e-3 falling to 0, batch 256, penalty 10, 5 critic updates a step.",
  criterion_text="In every seed: the estimate is at least 0.9 of the distance and at most 5 % above"
  " W1 (1 + W1 / (2 lambda)), which a soft penalty allows; the loss is its negative, swapping real"
  " and fake swaps its sign; the last layer is linear, scores leave [0, 1]. The cross-entropy's"
  " estimate is at most log 2, and within 5 % of it where W1 is 4.",
  quick=dict(seeds=2, steps=1000, width=64), full=dict(seeds=5, steps=10_000, width=128),
  tiny=dict(seeds=1, steps=2, width=4), minutes=dict(quick=0.8, full=4.0),
)  # fmt: skip
