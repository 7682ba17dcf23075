"""WGAN-GP, tables 1 and 2: of random architectures, more train with the penalty than as a GAN."""

import numpy as np
import scipy.special

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import make_panels, picture
from experiments.measures.classes import ClassifierMeasures
from experiments.measures.classifiers import classify_images
from wgan_jax.config import Config, Hparams
from wgan_jax.networks import variant
from wgan_jax.training import generate

_ACTIVATIONS = ("relu", "leaky_relu", "smooth_elu", "tanh")
_METHODS = {
  "gan": ("GAN, non-saturating", Config("nonsaturating", "none", n_critic=1, batch_size=32), 0.999),
  "wgan_gp": ("WGAN-GP", Config("wasserstein", "gp", n_critic=5, batch_size=32), 0.9),
}
_THRESHOLDS = (1.0, 3.0, 5.0, 7.0, 9.0)  # The paper's; of ten classes a score is at most 10.


def _measure(
  lab, *, seeds, architectures, depths, widths, steps, learning_rate, n_samples, dataset
):
  data = lab.load(dataset)
  judge, source = ClassifierMeasures(data), (data.sample_real, data.train)
  drawn = _draw_architectures(architectures, depths, widths)
  table, scores, shown = [], {name: [] for name in _METHODS}, {name: [] for name in _METHODS}
  for choices in drawn:
    pair = variant(data.sample_shape, latent_dim=32, **choices)
    for method, (_, config, beta2) in _METHODS.items():
      hparams = Hparams(learning_rate, 0.5, beta2)

      def look(key, state, data, pair=pair):
        return {"samples": generate(pair, state, key, n_samples)}

      observed = lab.observe(config, pair, source, hparams, seeds, [steps], look)
      samples = observed.seen["samples"][:, 0]
      scores[method].append([_score(judge, each) for each in samples])
      shown[method].append(samples[0, :8])
    means = {f"score, {method}": float(np.mean(own[-1])) for method, own in scores.items()}
    table.append({name: str(value) for name, value in choices.items()} | means)
  numbers = {"thresholds": list(_THRESHOLDS), "scores": scores, "architectures": drawn}
  return Evidence(numbers, table, [_draw(numbers, seeds), _draw_samples(drawn, shown)])


def _draw_architectures(n, depths, widths) -> list[dict]:
  """Draws each choice by itself, uniformly, as in table 1; all architectures differ."""
  rng = np.random.default_rng(0)  # The same whatever the seeds of training.
  drawn = []
  while len(drawn) < n:
    choices = {
      "activation": _ACTIVATIONS[rng.integers(len(_ACTIVATIONS))],
      "depth": int(rng.choice(depths)),
      "width": int(rng.choice(widths)),
      "batch_norm": bool(rng.integers(2)),
      "layer_norm": bool(rng.integers(2)),
    }
    if choices not in drawn:
      drawn.append(choices)
  return drawn


def _score(judge, samples):
  """Computes exp E KL(p(y | x) || p(y)), the Inception score by a digit classifier: 1 to 10."""
  if not np.isfinite(samples).all():
    return 1.0
  logits = classify_images(judge.params, samples).logits.astype(np.float64)
  log_p = scipy.special.log_softmax(logits, axis=1)
  log_mean = scipy.special.logsumexp(log_p, axis=0) - np.log(len(log_p))
  return float(np.exp(np.sum(np.exp(log_p) * (log_p - log_mean), axis=1).mean()))


def _counts(numbers) -> dict[str, list[int]]:
  """Counts, at each threshold, how many architectures' mean scores succeed with what (table 2)."""
  least = np.array(numbers["thresholds"])[:, None]
  gan, wgan = (np.mean(numbers["scores"][method], axis=1) > least for method in _METHODS)
  rows = {"only GAN": gan & ~wgan, "only WGAN-GP": wgan & ~gan}
  rows |= {"both": gan & wgan, "neither": ~gan & ~wgan}
  return {name: each.sum(axis=1).tolist() for name, each in rows.items()}


def _criterion(numbers):
  counts = _counts(numbers)
  gan, wgan = np.array(counts["only GAN"]), np.array(counts["only WGAN-GP"])
  n = len(numbers["architectures"])
  most = (wgan > gan).sum() > (gan + wgan > 0).sum() / 2
  rows = "; ".join(
    f"above {threshold:g}: {a}, {b}, {both}, {neither}"
    for threshold, a, b, both, neither in zip(numbers["thresholds"], *counts.values(), strict=True)
  )
  return verdict(
    most and wgan.sum() - gan.sum() >= n / 4,
    f"Of {n} architectures, only with GAN, only with WGAN-GP, both, neither, by score: {rows}.",
  )


def _draw(numbers, seeds):
  figure, (left, right) = make_panels(1, 2, size=(9.5, 3.8))
  gan, wgan = (np.ravel(numbers["scores"][method]) for method in ("gan", "wgan_gp"))
  left.plot(gan, wgan, "o", markersize=5, color="C0", alpha=0.7, label="an architecture")
  left.plot([1, 10], [1, 10], color="gray", linewidth=0.8, linestyle=":", label="as good as each")
  left.set(xlabel="score, non-saturating GAN", ylabel="score, WGAN-GP", aspect="equal")
  bottom = np.zeros(len(_THRESHOLDS))
  colours = {"only GAN": "C3", "only WGAN-GP": "C0", "both": "0.6", "neither": "0.88"}
  for name, heights in _counts(numbers).items():
    right.bar(range(len(heights)), heights, bottom=bottom, color=colours[name], label=name)
    bottom += heights
  right.set_xticks(range(len(_THRESHOLDS)), _THRESHOLDS)
  right.set(xlabel="least score that counts as success", ylabel="architectures")
  right.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
  caption = f"Random architectures, {seeds} seed(s) each; right, as in the paper's table 2."
  return picture(figure, caption)


def _draw_samples(drawn, shown):
  rows = min(len(drawn), 12)
  figure, panels = make_panels(rows, 2, squeeze=False, size=(9.5, 0.62 * rows + 0.5))
  for i in range(rows):
    for axes, (method, (words, *_)) in zip(panels[i], _METHODS.items(), strict=True):
      strip = np.nan_to_num(np.concatenate(shown[method][i][..., 0], axis=1))
      axes.imshow(strip, cmap="gray", vmin=-1, vmax=1)
      axes.set(xticks=[], yticks=[])
      axes.set_title(words if i == 0 else "", fontsize=9)
    text = ", ".join(map(str, drawn[i].values()))
    panels[i][0].set_ylabel(text, fontsize=6, rotation=0, ha="right", va="center")
  caption = f"The first {rows}, seed 0: activation, depth, width, norm of generator, of critic."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="random_architectures", place=5, source="WGAN-GP, tables 1 and 2",
  sentence="Of random architectures many more can be trained with the penalty than as a GAN.",
  settings="28 x 28 digits instead of 32 x 32 ImageNet; the GAN gets the same critic, where the"
  " paper's has batch norm. Equal generator updates of batch 32, 1 critic update for the GAN and 5"
  " for WGAN-GP; Adam, lambda 10. Score: the Inception score by a digit classifier.",
  criterion_text="At the paper's thresholds of an architecture's mean score: at over half of those"
  " where the methods differ, more architectures succeed only with WGAN-GP than only with the GAN,"
  " and summed over the thresholds they are more by a quarter of the architectures at least.",
  quick=dict(seeds=1, architectures=8, depths=[2, 4], widths=[4, 8], steps=300, learning_rate=1e-3,
    n_samples=1000, dataset="digits"),
  full=dict(seeds=2, architectures=40, depths=[4, 8, 12, 20], widths=[32, 64, 128], steps=10_000,
    learning_rate=2e-4, n_samples=2000),
  tiny=dict(architectures=2, depths=[2], widths=[2], steps=2, n_samples=16),
  minutes=dict(quick=5.6, full=400),
)  # fmt: skip
