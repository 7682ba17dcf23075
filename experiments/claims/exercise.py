"""The course's exercise: a critic that normalises over the batch, and its training. INVALID.

The penalty takes the gradient of one sample's score. This critic's score depends on the batch, so
it does not fit `CriticFn`. Only the claim `course_exercise` uses it, to show the consequences.
"""

import jax
import jax.numpy as jnp

from wgan_jax import LOSSES, Config, Info, Pair, State, interpolate, penalize
from wgan_jax.convolution.primitive import conv_general_dilated
from wgan_jax.data.images import sample_images
from wgan_jax.training import make_optimizer, make_training
from wgan_jax.types import Training


def init_critic(key, width):
  """Initialises unpadded 4x4/2 convolutions of `width`, 2 `width` and 1 channels, and scales."""
  key_kernels, key_scales = jax.random.split(key)
  sizes = [(1, width), (width, 2 * width), (2 * width, 1)]
  keys = zip(jax.random.split(key_kernels, 3), jax.random.split(key_scales, 3), strict=True)
  return [
    {
      "kernel": 0.02 * jax.random.normal(key_kernel, (4, 4, *size)),
      "scale": 0.02 * jax.random.normal(key_scale, size[1:]),  # The last is not used.
      "bias": jnp.zeros(size[1]),
    }
    for size, (key_kernel, key_scale) in zip(sizes, keys, strict=True)
  ]


def score_batch(params, x, *, hold=False):
  """Scores images in [-1, 1], [n, 28, 28, 1] -> [n]; each score depends on all images.

  With `hold` the batch's statistics are constants in gradients, which leaves a sample's own.
  """

  def conv(x, layer):
    layout = ("NHWC", "HWIO", "NHWC")
    return conv_general_dilated(x, layer["kernel"], (2, 2), "VALID", dimension_numbers=layout)

  *hidden, last = params
  for layer in hidden:
    x = conv(x, layer)
    mean, variance = (jnp.reshape(f(x, (0, 1, 2)), (1, 1, 1, -1)) for f in (jnp.mean, jnp.var))
    if hold:
      mean, variance = jax.lax.stop_gradient((mean, variance))
    scale, bias = (jnp.reshape(layer[name], (1, 1, 1, -1)) for name in ("scale", "bias"))
    x = jax.nn.leaky_relu(scale * (x - mean) / jnp.sqrt(variance + 1e-5) + bias, 0.2)
  return conv(x, last).reshape(x.shape[0]) + last["bias"][0]


def make_exercise_training(config: Config, pair: Pair, width: int) -> Training:
  """Makes the exercise's steps: one real batch for all critic updates, the scores' sum penalised.

  The generator is that of the pair, the critic that of `init_critic`.
  """
  loss, generator = LOSSES["wasserstein"], pair.generator
  critic = pair.critic._replace(init=lambda key: init_critic(key, width))
  init, _ = make_training(config, pair._replace(critic=critic), sample_images)

  def critic_objective(params, key, real, fake, lambda_gp):
    real_scores, fake_scores = score_batch(params, real), score_batch(params, fake)
    x_hat = interpolate(key, real, fake)
    gradients = jax.grad(lambda x: jnp.sum(score_batch(params, x)))(x_hat)
    norms = jnp.sqrt(jnp.sum(gradients.reshape(len(gradients), -1) ** 2, axis=1) + 1e-12)
    objective = loss.critic(real_scores, fake_scores) + lambda_gp * penalize(norms)
    return objective, (loss.estimate(real_scores, fake_scores), penalize(norms), objective, norms)

  def generator_objective(params, batch_stats, critic_params, latents):
    fake, batch_stats = generator.apply(params, batch_stats, latents, train=True)
    return loss.generator(score_batch(critic_params, fake)), batch_stats

  def latents(key):
    return jax.random.normal(key, (config.batch_size, pair.latent_dim))

  def update(hparams, gradients, params, opt_state):
    updates, opt_state = make_optimizer(config, hparams).update(gradients, opt_state, params)
    return jax.tree.map(jnp.add, params, updates), opt_state

  def step(state, hparams, data):
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
    real = sample_images(keys[0], data, config.batch_size)

    def update_critic(carry, key):
      key_latents, key_epsilon = jax.random.split(key)
      own = (state.generator_params, state.batch_stats)
      fake, _ = generator.apply(*own, latents(key_latents), train=True)
      drawn = (key_epsilon, real, fake, hparams.lambda_gp)
      gradients, aux = jax.grad(critic_objective, has_aux=True)(carry[0], *drawn)
      return update(hparams, gradients, *carry), aux

    start = (state.critic_params, state.critic_opt_state)
    critic, aux = jax.lax.scan(update_critic, start, jax.random.split(keys[1], config.n_critic))
    params, opt_state = state.generator_params, state.generator_opt_state
    (generator_loss, batch_stats), gradients = jax.value_and_grad(
      generator_objective, has_aux=True
    )(params, state.batch_stats, critic[0], latents(keys[2]))
    params, opt_state = update(hparams, gradients, params, opt_state)
    state = State(
      state.step + 1, state.key, critic[0], params, batch_stats, critic[1], opt_state,
      ema=(params, batch_stats),
    )  # fmt: skip
    estimate, penalty, objective, norms = (values[-1] for values in aux)
    finite = jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state[2:])]))
    metrics = (estimate, penalty, objective, generator_loss, norms.mean(), norms.max(), finite)
    return state, Info(*metrics)

  return Training(init, step)
