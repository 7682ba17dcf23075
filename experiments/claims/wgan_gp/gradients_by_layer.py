"""WGAN-GP, figure 1b: gradients layer by layer, and the weights, of deep critics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import label_panel, lines_by_seed, picture
from experiments.claims.summary import arrays, rows_by_seed
from wgan_jax import Config, Hparams, diagnostics, generate, wasserstein_critic_loss
from wgan_jax.data.toy import load_toy
from wgan_jax.networks.mlp import mlp

_METHODS = {
  "clip 0.1": ("clipping, c = 0.1", "tab:red"),
  "clip 0.01": ("clipping, c = 0.01", "tab:orange"),
  "clip 0.001": ("clipping, c = 0.001", "tab:olive"),
  "gp": ("gradient penalty", "tab:blue"),
}


def _measure(lab, *, seeds, steps, width, batch_size, learning_rate):
  toy = load_toy("swiss_roll")
  pair = mlp((2,), latent_dim=2, width=width, depth=12)
  looks = np.unique(np.linspace(steps // 2, steps, 5).astype(int)).tolist()
  at = [1, *(each for each in looks if each > 0)]
  clip = Config(penalty="clip", optimizer="rmsprop", batch_size=batch_size)
  gp = Config(penalty="gp", batch_size=batch_size)
  clipping = [Hparams(learning_rate, 0.0, 0.99, 0.0, value) for value in (0.1, 0.01, 0.001)]
  penalty = [Hparams(learning_rate, 0.0, 0.9, 10.0)]
  look, source = functools.partial(_look, pair, toy), (toy.sample_real, toy.data)
  both = [
    lab.observe(config, pair, source, hparams, seeds, at, look).seen
    for config, hparams in ((clip, clipping), (gp, penalty))  # As `_METHODS` are ordered.
  ]
  seen = {key: np.concatenate([each[key] for each in both]) for key in both[0]}
  table, numbers, shown = [], {}, {}
  for i, (method, (words, _)) in enumerate(_METHODS.items()):
    own = slice(i * seeds, (i + 1) * seeds)
    # [seeds, looks, layers] -> [seeds, layers]
    logs = np.log(np.maximum(seen["norms"][own, 1:], np.finfo(np.float32).tiny)).mean(1)
    piled, weights = seen["piled"][own], seen["weights"][own, -1]
    shown[method] = logs, weights[0]
    numbers[method] = {
      "log_norms": logs.tolist(),
      "slope": [_fit(each)[0] for each in logs],
      "correlation": [_fit(each)[1] for each in logs],
      "share_at_bound_at_first": piled[:, 0].tolist(),
      "share_at_bound": piled[:, -1].tolist(),
      "ends_over_middle": [_ends_over_middle(each) for each in weights],
      "largest_weight": np.abs(weights).max(1).tolist(),
    }
    columns = {key: each for key, each in numbers[method].items() if key != "log_norms"}
    table += rows_by_seed({"critic": words}, columns)
  return Evidence(numbers, table, [_draw(shown, seeds)])


def _look(pair, toy, key, state, data):
  """Measures the loss's gradients by layer, and the weights and how many lie at the largest."""
  key_real, key_latents = jax.random.split(key)
  real = toy.sample_real(key_real, data, 256)
  fake = generate(pair, state, key_latents, 256)
  layers = pair.critic.layers(state.critic_params)
  weights, _ = ravel_pytree(state.critic_params)
  return {
    "norms": diagnostics.activation_gradient_norms(layers, wasserstein_critic_loss, real, fake),
    # Within 1 % of the largest: the bound of clipping, whatever there is of the penalty.
    "piled": diagnostics.clipped_share(state.critic_params, 0.99 * jnp.max(jnp.abs(weights))),
    "weights": weights,
  }


def _fit(logs):
  """Fits the log norm's growth per layer from the score backwards; gives its correlation too."""
  depth = -np.arange(len(logs), dtype=float)
  if not np.isfinite(logs).all() or np.ptp(logs) == 0:
    return 0.0, 0.0
  return float(np.polyfit(depth, logs, 1)[0]), float(np.corrcoef(depth, logs)[0, 1])


def _ends_over_middle(weights):
  """Divides the lower of a histogram's two end bars, of 100, by the highest between them."""
  if not np.isfinite(weights).all():
    return 0.0
  largest = np.abs(weights).max()
  counts, _ = np.histogram(weights, np.linspace(-largest, largest, 101))
  return float(min(counts[0], counts[-1]) / counts[1:-1].max())


def _criterion(numbers):
  holds, seen = True, []
  for method, (words, _) in _METHODS.items():
    own = numbers[method]
    slope, correlation = np.array(own["slope"]), np.abs(own["correlation"])
    share, ends = arrays(own, "share_at_bound", "ends_over_middle")
    if method == "gp":
      holds &= bool(np.all((np.abs(slope) <= 0.2) & (share <= 0.01)))
    else:
      one_way = np.all(slope > 0) or np.all(slope < 0)
      steep = (np.abs(slope) >= 0.4) & (correlation >= 0.9)
      holds &= bool(one_way and np.all(steep & (share >= 0.25) & (ends > 1)))
    seen.append(f"{words}: {np.mean(slope):+.2f} a layer, {np.mean(share):.2g} of weights")
  return verdict(
    holds,
    "log norm's growth from each layer to the one before it, and the share of weights within 1 % of"
    f" the largest, mean of seeds: {'; '.join(seen)}.",
  )


def _draw(shown, seeds):
  figure = Figure(figsize=(10, 4.4), layout="constrained")
  axes, *small = figure.subplot_mosaic("aab;aac").values()
  for method, (words, colour) in _METHODS.items():
    logs, _ = shown[method]
    layers = np.arange(1, logs.shape[1] + 1)
    lines_by_seed(axes, layers, logs, words, marker=".-", color=colour, alpha=0.8)
  axes.set(xticks=layers, xlim=(layers[-1] + 0.4, layers[0] - 0.4))
  axes.set(xlabel="layer, from the score back to the input", ylabel="log gradient norm (nats)")
  axes.grid(axis="y", alpha=0.3)
  for axes, method in zip(small, ("clip 0.01", "gp"), strict=True):
    words, colour = _METHODS[method]
    _, weights = shown[method]
    limit = 1.15 * np.quantile(np.abs(weights), 0.999)
    counts, edges = np.histogram(weights, np.linspace(-limit, limit, 93))
    axes.stairs(counts / len(weights), edges, fill=True, color=colour)
    label_panel(axes, words, ylabel="share of weights", xlabel="weight")
  caption = f"Gradients at each layer's output, {seeds} seeds; weights at the end, seed 0."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="gradients_by_layer", place=3, source="WGAN-GP, figure 1b",
  sentence="In a deep critic under weight clipping the gradient grows or decays exponentially from"
  " layer to layer, and the weights pile up at both ends of the interval; under the gradient"
  " penalty the gradient keeps its size and the weights spread.",
  settings="Swiss roll; 12 ReLU layers and a linear one, He-normal start. Clipping: RMSProp;"
  " penalty: Adam (0, 0.9), lambda 10. The first clip puts most weights at the bound where c is"
  " below the start's spread; with 0.01 and 0.001 gradients are then too small to move a weight.",
  criterion_text="Every seed. Clipping, each c: the log norm's slope is of one sign and at least"
  " 0.4 a layer, its correlation with the layer at least 0.9, at least a quarter of weights is"
  " within 1 % of the largest, both end bars of their histogram of 100 are the highest. Penalty: a"
  " slope of at most 0.2, at most 1 % of weights near the largest.",
  quick=dict(seeds=2, steps=700, width=128, batch_size=64, learning_rate=1e-4),
  full=dict(seeds=5, steps=20000, width=512, batch_size=256),
  tiny=dict(seeds=1, steps=2, width=4, batch_size=4), minutes=dict(quick=1.8, full=30),
)  # fmt: skip
