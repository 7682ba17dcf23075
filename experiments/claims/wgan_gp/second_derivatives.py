"""WGAN-GP, appendix D: the penalty's gradient needs second derivatives, and ELU's jump."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import even_steps, rows_by_seed
from wgan_jax import Config, Hparams, Network, generate, gradient_norms, interpolate
from wgan_jax.data.toy import load_toy
from wgan_jax.networks import mlp, smooth_elu
from wgan_jax.transport import wasserstein_exact

_ACTIVATIONS = {"elu": jax.nn.elu, "smooth": smooth_elu, "relu": jax.nn.relu}
_WORDS = {"elu": "ELU", "smooth": "softplus(2x + 2) / 2 - 1", "relu": "ReLU"}


def _critic(activation, width, depth):
  """Makes a fully connected critic in the plane, He-normal, with any activation."""
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


def _measure(lab, *, seeds, steps, width, batch_size):
  toy = load_toy("ring")
  at, source = even_steps(steps, 20), (toy.sample_real, toy.data)
  config = Config(batch_size=batch_size)
  hparams = Hparams(1e-3, 0.5, 0.9, 10.0, decay_steps=steps)
  numbers, table, curves = {}, [], {}
  for name, activation in _ACTIVATIONS.items():
    critic = _critic(activation, width, 3)
    pair = mlp((2,), latent_dim=2, width=width, depth=3)._replace(critic=critic)
    look = functools.partial(_look, pair, toy)
    observed = lab.observe(config, pair, source, hparams, seeds, at, look)
    last = {key: values[:, -1] for key, values in observed.seen.items()}
    # Its values 0.001 apart, to either side of 0: the largest difference is the jump.
    second = jax.vmap(jax.grad(jax.grad(activation)))(jnp.arange(-2, 2, 1e-3) + 5e-4)
    sides = zip(observed.alive, last["real"], last["fake"], strict=True)
    curves[name] = observed.seen["norm"]
    numbers[name] = {
      "jump_of_second_derivative": [float(jnp.max(jnp.abs(jnp.diff(second))))] * seeds,
      "finite": observed.alive.tolist(),
      "wasserstein": [wasserstein_exact(*each) if alive else None for alive, *each in sides],
      "gradient_norm": last["norm"].tolist(),
    }
    table += rows_by_seed({"activation": _WORDS[name]}, numbers[name])
  return Evidence(numbers, table, [_draw(at, curves, seeds)])


def _look(pair, toy, key, state, data):
  key_real, key_latents, key_epsilon = jax.random.split(key, 3)
  real = toy.sample_real(key_real, data, 1000)
  fake = generate(pair, state, key_latents, 1000)
  critic_fn = functools.partial(pair.critic.apply, state.critic_params)
  norms = gradient_norms(critic_fn, interpolate(key_epsilon, real, fake))
  return {"real": real, "fake": fake, "norm": jnp.mean(norms)}


def _criterion(numbers):
  def trained(name):
    distances = np.array(numbers[name]["wasserstein"], float)  # NaN for None: it diverged.
    return np.where(np.isfinite(distances), distances, np.inf)

  elu, smooth = trained("elu"), trained("smooth")
  jumps = [numbers[name]["jump_of_second_derivative"][0] for name in ("elu", "smooth")]
  jumped = jumps[0] > 0.5 and jumps[1] < 0.01
  return verdict(
    jumped and np.all(smooth < 0.5) and np.all(elu > 2 * smooth.max()),
    f"The second derivative jumps by {jumps[0]:.2f} (ELU) and {jumps[1]:.1g} (softplus). Exact W1"
    f" of samples at the end: ELU {elu.min():.2f} to {elu.max():.2f}, softplus {smooth.min():.2f}"
    f" to {smooth.max():.2f}, ReLU {trained('relu').min():.2f} to {trained('relu').max():.2f}.",
  )


def _draw(at, curves, seeds):
  figure, (left, right) = make_panels(1, 2, size=(9, 3.4))
  x = jnp.linspace(-3, 3, 601)
  for i, (name, activation) in enumerate(_ACTIVATIONS.items()):
    second = jax.vmap(jax.grad(jax.grad(activation)))(x)
    left.plot(x, second, color=f"C{i}", linewidth=1.2, label=_WORDS[name])
    lines_by_seed(right, at, curves[name], _WORDS[name], color=f"C{i}", alpha=0.8)
  left.set(xlabel="x", ylabel="second derivative")
  mark(right, y=1)
  right.set(xlabel="step (generator updates)", ylabel="mean gradient norm on x_hat")
  caption = f"Second derivatives, and mean norms with the penalty on the ring; {seeds} seeds."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="second_derivatives", place=7, source="WGAN-GP, appendix D",
  sentence="A critic with ELU cannot be trained with the gradient penalty, as its second derivative"
  " is not continuous; the similar softplus(2x + 2) / 2 - 1 can.",
  settings="Ring of 8 Gaussians; critics of 3 layers, a ReLU generator, Adam 1e-3 falling to 0,"
  " betas (0.5, 0.9), lambda 10. The paper says it of images, without numbers.",
  criterion_text="ELU's second derivative jumps by over 0.5 within a step of 0.001, the softplus's"
  " by less than 0.01; with the softplus every seed ends at an exact W1 below 0.5, with ELU it"
  " diverges or ends at over twice the worst of those.",
  quick=dict(seeds=2, steps=1500, width=64, batch_size=256),
  full=dict(seeds=5, steps=20000, width=512), tiny=dict(seeds=1, steps=2, width=4, batch_size=4),
  minutes=dict(quick=1.4, full=20),
)  # fmt: skip
