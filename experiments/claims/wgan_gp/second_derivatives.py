"""WGAN-GP, appendix D: the penalty's gradient needs second derivatives, and ELU's jump."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Evidence, Judgement, verdict
from experiments.claims.lab import Lab
from experiments.engine.observe import observe
from experiments.figures.pictures import Picture, render
from wgan_jax.data.toy import load_toy
from wgan_jax.networks import mlp, smooth_elu
from wgan_jax.penalties import gradient_norms, interpolate
from wgan_jax.training import Config, Hparams
from wgan_jax.transport import wasserstein_exact
from wgan_jax.types import Network

_ACTIVATIONS = {"elu": jax.nn.elu, "smooth": smooth_elu, "relu": jax.nn.relu}
_WORDS = {"elu": "ELU", "smooth": "softplus(2x + 2) / 2 - 1", "relu": "ReLU"}
_POINTS = 1000
_STEP = 1e-3


def _critic(activation, width, depth):
  """A fully connected critic in the plane, He-normal, with any activation."""
  sizes = [2, *[width] * depth, 1]

  def init(key):
    return [
      {"w": jax.random.normal(each, (m, n)) * (2 / m) ** 0.5, "b": jnp.zeros(n)}
      for each, m, n in zip(jax.random.split(key, depth + 1), sizes[:-1], sizes[1:], strict=True)
    ]

  def apply(params, x):
    for layer in params[:-1]:
      x = activation(x @ layer["w"] + layer["b"])
    return (x @ params[-1]["w"] + params[-1]["b"])[0]

  return Network(init, apply)


def _measure(lab: Lab, *, seeds: int, steps: int, width: int, batch_size: int) -> Evidence:
  del lab  # The points are drawn as they are used.
  toy = load_toy("ring")
  at = sorted({max(1, steps * i // 20) for i in range(1, 21)})
  numbers, table, curves = {}, [], {}
  for name, activation in _ACTIVATIONS.items():
    pair = mlp((2,), latent_dim=2, width=width, depth=3)
    pair = pair._replace(critic=_critic(activation, width, 3))
    observed = observe(
      Config(batch_size=batch_size),
      pair,
      toy.sample_real,
      toy.data,
      [(Hparams(1e-3, 0.5, 0.9, 10.0, decay_steps=steps), seed) for seed in range(seeds)],
      at,
      functools.partial(_look, pair, toy),
    )
    last = {key: values[:, -1] for key, values in observed.seen.items()}
    curves[name] = observed.seen["norm"]
    own = {
      "jump_of_second_derivative": [_jump(activation)] * seeds,
      "finite": observed.alive.tolist(),
      "wasserstein": [
        wasserstein_exact(real, fake) if alive else None
        for real, fake, alive in zip(last["real"], last["fake"], observed.alive, strict=True)
      ],
      "gradient_norm": last["norm"].tolist(),
    }
    numbers[name] = own
    table += [
      {"activation": _WORDS[name], "seed": seed}
      | {key.replace("_", " "): values[seed] for key, values in own.items()}
      for seed in range(seeds)
    ]
  return Evidence(numbers, table, [_draw(at, curves, seeds)])


def _look(pair, toy, key, state, data):
  key_real, key_latents, key_epsilon = jax.random.split(key, 3)
  real = toy.sample_real(key_real, data, _POINTS)
  latents = jax.random.normal(key_latents, (_POINTS, 2))
  fake, _ = pair.generator.apply(state.generator_params, state.batch_stats, latents, train=False)
  critic_fn = functools.partial(pair.critic.apply, state.critic_params)
  norms = gradient_norms(critic_fn, interpolate(key_epsilon, real, fake))
  return {"real": real, "fake": fake, "norm": jnp.mean(norms)}


def _jump(activation):
  """How far the second derivative jumps, at most, within a step of 0.001 of [-2, 2]."""
  second = jax.vmap(jax.grad(jax.grad(activation)))(jnp.arange(-2, 2, _STEP) + _STEP / 2)
  return float(jnp.max(jnp.abs(jnp.diff(second))))


def _judge(numbers: dict) -> Judgement:
  def trained(name):
    own = numbers[name]
    return np.array([d if d is not None and np.isfinite(d) else np.inf for d in own["wasserstein"]])

  elu, smooth = trained("elu"), trained("smooth")
  jumps = [numbers[name]["jump_of_second_derivative"][0] for name in ("elu", "smooth")]
  holds = jumps[0] > 0.5 and jumps[1] < 0.01
  holds &= bool(np.all(smooth < 0.5) and np.all(elu > 2 * smooth.max()))
  return Judgement(
    verdict(holds),
    f"The second derivative jumps by {jumps[0]:.2f} (ELU) and {jumps[1]:.1g} (softplus). Exact W1"
    f" of samples at the end: ELU {elu.min():.2f} to {elu.max():.2f}, softplus {smooth.min():.2f}"
    f" to {smooth.max():.2f}, ReLU {trained('relu').min():.2f} to {trained('relu').max():.2f}.",
  )


def _draw(at, curves, seeds) -> Picture:
  figure = Figure(figsize=(9, 3.4), layout="constrained")
  left, right = figure.subplots(1, 2)
  x = jnp.linspace(-3, 3, 601)
  for i, (name, activation) in enumerate(_ACTIVATIONS.items()):
    second = jax.vmap(jax.grad(jax.grad(activation)))(x)
    left.plot(x, second, color=f"C{i}", linewidth=1.2, label=_WORDS[name])
    for seed, norms in enumerate(curves[name]):
      label = _WORDS[name] if seed == 0 else None
      right.plot(at, norms, color=f"C{i}", linewidth=1.2, alpha=0.8, label=label)
  left.set(xlabel="x", ylabel="second derivative")
  right.axhline(1, color="gray", linewidth=0.8, linestyle=":")
  right.set(xlabel="step (generator updates)", ylabel="mean gradient norm on x_hat")
  for axes in (left, right):
    axes.legend(fontsize=7)
  return Picture(
    "Left: second derivatives of three activations; ELU's jumps at 0, ReLU's is 0 wherever it is."
    " Right: mean gradient norms of critics with them, trained with the penalty on the ring; a line"
    f" for each of {seeds} seeds.",
    render(figure),
  )


CLAIM = Claim(
  name="second_derivatives",
  sentence="A critic with ELU cannot be trained with the gradient penalty, as its second derivative"
  " is not continuous; the similar softplus(2x + 2) / 2 - 1 can.",
  source="WGAN-GP, appendix D",
  settings="Ring of 8 Gaussians; critics of 3 layers with each activation, a ReLU generator, Adam"
  " 1e-3 falling to 0, betas (0.5, 0.9), lambda 10. The paper tells it of images, without numbers.",
  criterion="ELU's second derivative jumps by more than 0.5 within a step of 0.001 and the"
  " softplus's by less than 0.01; with the softplus every seed ends at an exact W1 below 0.5, with"
  " ELU every seed diverges or ends at more than twice the worst of those.",
  scales={
    "quick": {"seeds": 2, "steps": 1500, "width": 64, "batch_size": 256},
    "full": {"seeds": 5, "steps": 20000, "width": 512, "batch_size": 256},
  },
  minutes={"quick": 1.4, "full": 20},
  measure=_measure,
  judge=_judge,
)
