"""Training as pure functions: `init` makes a state, `step` moves it on.

One step is `n_critic` critic updates and one generator update (Algorithm 1 of both papers). What
changes the program stands in `Config`, what changes only numbers in `Hparams`: a new learning rate
compiles nothing. `init` and `step` are not jitted: the caller jits them.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from wgan_jax.config import Config, Hparams
from wgan_jax.objectives import make_objectives
from wgan_jax.precision import compute_in
from wgan_jax.types import Pair, Params

# Folded into the key of a generator's update, whose other draws take it whole.
_REAL_SAMPLES = 0x7265616C


class State(NamedTuple):
  """State of a training run: all that the next step needs and a checkpoint holds, arrays only.

  Attributes:
    step: steps done, int32 [].
    key: the root key of all draws; step t draws from `fold_in(key, t)`.
    critic_params: the critic's parameters.
    generator_params: the generator's parameters.
    batch_stats: the generator's running statistics, moved by its own updates only.
    critic_opt_state: the critic's optimiser state.
    generator_opt_state: the generator's optimiser state.
  """

  step: jax.Array
  key: jax.Array
  critic_params: Params
  generator_params: Params
  batch_stats: chex.ArrayTree
  critic_opt_state: optax.OptState
  generator_opt_state: optax.OptState


class Info(NamedTuple):
  """Metrics of one step: float32 scalars, except `finite`.

  Critic metrics come from the step's last critic update, on its training batch and before the
  update.

  Attributes:
    estimate: the loss's estimate, such as E c(x) - E c(g(z)); `Loss.estimate_name` says of what.
    gradient_penalty: the bare penalty, without its weight; 0 where there is none.
    critic_loss: what the critic minimised, lambda_gp times the penalty included.
    generator_loss: what the generator minimised.
    gradient_norm_mean: mean gradient norm at the penalty's points, such as x_hat; 0 without a
      penalty.
    gradient_norm_max: largest gradient norm at these points; 0 without a penalty.
    finite: bool, whether the losses of every update and the whole updated state are finite.
  """

  estimate: jax.Array
  gradient_penalty: jax.Array
  critic_loss: jax.Array
  generator_loss: jax.Array
  gradient_norm_mean: jax.Array
  gradient_norm_max: jax.Array
  finite: jax.Array


SampleRealFn = Callable[[jax.Array, Any, int], jax.Array]
"""(key, data, batch_size) -> real samples, [batch_size, ...]."""


class Training(NamedTuple):
  """A training algorithm as two pure functions.

  Attributes:
    init: (key, hparams) -> State.
    step: (state, hparams, data) -> (State, Info). `data` is an argument and never captured:
      captured, it would become a constant of the program.
  """

  init: Callable[[jax.Array, Hparams], State]
  step: Callable[[State, Hparams, Any], tuple[State, Info]]


def make_training(config: Config, networks: Pair, sample_real: SampleRealFn) -> Training:
  """Builds `init` and `step` for a critic, a generator and a source of data of your own.

  Each critic update draws its own real batch, latents and epsilon; each generator update its own
  latents, and a real batch if the loss compares with one. Every draw is a function of (key, step)
  alone. The generator runs in training mode in both (batch statistics of its own batch), and moves
  its running ones in its own update only.

  Args:
    config: the static choices.
    networks: the critic, for one sample, and the generator, for a batch.
    sample_real: draws real samples, such as `wgan_jax.data.images.sample_images`.

  Returns:
    The pair `(init, step)`.

  References:
    [1] and [2], Algorithm 1.
  """
  networks = compute_in(networks, config.compute_dtype)
  critic, generator, latent_dim = networks
  loss, penalty = config.loss_row, config.penalty_row
  objectives = make_objectives(loss, penalty, networks)

  def sample_latents(key):
    return jax.random.normal(key, (config.batch_size, latent_dim))

  def update_critic(key, state, hparams, data):
    key_real, key_latents, key_epsilon = jax.random.split(key, 3)
    real = sample_real(key_real, data, config.batch_size)
    # The statistics that this pass would move are dropped: the generator is not being updated.
    fake, _ = generator.apply(
      state.generator_params, state.batch_stats, sample_latents(key_latents), train=True
    )
    chex.assert_equal_shape([real, fake])
    gradients, metrics = jax.grad(objectives.critic, has_aux=True)(
      state.critic_params, key_epsilon, real, fake, hparams.lambda_gp
    )
    params, opt_state = _update(
      config, hparams, gradients, state.critic_params, state.critic_opt_state
    )
    if penalty.project is not None:
      params = penalty.project(params, hparams)
    return state._replace(critic_params=params, critic_opt_state=opt_state), metrics

  def update_generator(key, state, hparams, data):
    real = None
    if loss.generator_sees_real:
      real = sample_real(jax.random.fold_in(key, _REAL_SAMPLES), data, config.batch_size)
    (generator_loss, batch_stats), gradients = jax.value_and_grad(
      objectives.generator, has_aux=True
    )(state.generator_params, state.batch_stats, state.critic_params, sample_latents(key), real)
    if config.fixed_generator:  # Its statistics settle, so that samples are what the critic sees.
      return state._replace(batch_stats=batch_stats), generator_loss
    params, opt_state = _update(
      config, hparams, gradients, state.generator_params, state.generator_opt_state
    )
    state = state._replace(
      generator_params=params, generator_opt_state=opt_state, batch_stats=batch_stats
    )
    return state, generator_loss

  def init(key, hparams):
    key_critic, key_generator, key_steps = jax.random.split(key, 3)
    critic_params = critic.init(key_critic)
    generator_params, batch_stats = generator.init(key_generator)
    optimizer = make_optimizer(config, hparams)
    return State(
      step=jnp.zeros((), jnp.int32),
      key=key_steps,
      critic_params=critic_params,
      generator_params=generator_params,
      batch_stats=batch_stats,
      critic_opt_state=optimizer.init(critic_params),
      generator_opt_state=optimizer.init(generator_params),
    )

  def step(state, hparams, data):
    hparams = hparams._replace(learning_rate=_decayed(hparams, state.step))
    key_critic, key_generator = jax.random.split(jax.random.fold_in(state.key, state.step))
    state, metrics = jax.lax.scan(
      lambda state, key: update_critic(key, state, hparams, data),
      state,
      jax.random.split(key_critic, config.n_critic),
    )
    state, generator_loss = update_generator(key_generator, state, hparams, data)
    state = state._replace(step=state.step + 1)
    finite = _all_finite(
      (metrics["critic_loss"], generator_loss),
      (state.critic_params, state.generator_params, state.batch_stats),
      (state.critic_opt_state, state.generator_opt_state),
    )
    last = {name: values[-1] for name, values in metrics.items()}
    return state, Info(**last, generator_loss=generator_loss, finite=finite)

  return Training(init, step)


def make_optimizer(config: Config, hparams: Hparams) -> optax.GradientTransformation:
  """Builds the optimiser of either network; its hyperparameters may be traced."""
  return config.optimizer_row.make(hparams.learning_rate, hparams)


def generate(networks: Pair, state: State, key: jax.Array, n: int) -> jax.Array:
  """Draws samples from a state: g(z) in sampling mode, with the running statistics.

  Args:
    networks: the critic and the generator, as given to `make_training`. They compute in their own
      type, whatever the `compute_dtype` that they were trained in.
    state: a state of one run.
    key: a PRNG key, for the latents.
    n: how many samples. Those of one key differ between one n and another.

  Returns:
    The samples, [n, ...].
  """
  latents = jax.random.normal(key, (n, networks.latent_dim))
  params, batch_stats = state.generator_params, state.batch_stats
  samples, _ = networks.generator.apply(params, batch_stats, latents, train=False)
  return samples


def make_chunk(step: Callable, capacity: int) -> Callable:
  """Builds a function of many steps, their number traced: all lengths share one compilation.

  Args:
    step: the `step` of `make_training`.
    capacity: the most steps that one call may do.

  Returns:
    `chunk(state, hparams, data, n_steps) -> (State, Info)`, with n_steps <= capacity traced. Each
    leaf of Info is [capacity, ...]; entries from n_steps on are zero. Jit it with
    `donate_argnums=0` to update the state in place.
  """

  step = jax.jit(step, inline=True)  # Traced once for its shapes and its loop.

  def chunk(state, hparams, data, n_steps):
    _, info = jax.eval_shape(step, state, hparams, data)
    buffer = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), info)

    def body(i, carry):
      state, buffer = carry
      state, info = step(state, hparams, data)
      return state, jax.tree.map(lambda rows, row: rows.at[i].set(row), buffer, info)

    return jax.lax.fori_loop(0, n_steps, body, (state, buffer))

  return chunk


def _decayed(hparams, step) -> jax.Array:
  decay_steps = jnp.asarray(hparams.decay_steps, jnp.float32)
  left = jnp.maximum(1 - step / jnp.maximum(decay_steps, 1), 0)
  return hparams.learning_rate * jnp.where(decay_steps > 0, left, 1)


def _update(config, hparams, gradients, params, opt_state):
  updates, opt_state = make_optimizer(config, hparams).update(gradients, opt_state, params)
  return optax.apply_updates(params, updates), opt_state


def _all_finite(*trees) -> jax.Array:
  return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(trees)]))
