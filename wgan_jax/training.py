"""Training as pure functions: `init` makes a state, `step` moves it on.

One step is `n_critic` critic updates and one generator update (Algorithm 1 of both papers). What
changes the program stands in `Config`, what changes only numbers in `Hparams`: a new learning rate
compiles nothing. `init` and `step` are not jitted: the caller jits them.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3.
"""

import chex
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from wgan_jax.config import Config, Hparams
from wgan_jax.memory import generate_in_parts
from wgan_jax.objectives import make_objectives
from wgan_jax.optimizers import SCHEDULES, decay, move_average
from wgan_jax.parallel import check_batch, share_samples
from wgan_jax.precision import compute_in
from wgan_jax.types import Info, Pair, SampleRealFn, State, Training

# Folded into a key whose other draws take it whole.
_REAL_SAMPLES = 0x7265616C
_LABELS = 0x6C616265


def make_training(
  config: Config, networks: Pair, sample_real: SampleRealFn, *, mesh: Mesh | None = None
) -> Training:
  """Builds `init` and `step` for a critic, a generator and a source of data of your own.

  Each critic update draws its own real batch, latents and epsilon; each generator update its own
  latents, and a real batch if the loss compares with one. Every draw is a function of (key, step)
  alone. The generator runs in training mode in both (batch statistics of its own batch), and moves
  its running ones in its own update only.

  With conditional networks each fake sample has the class of a real one, so that classes are as
  frequent as in the data, and the penalty's points lie between samples of one class.

  Args:
    config: the static choices.
    networks: the critic, for one sample, and the generator, for a batch.
    sample_real: draws real samples, such as `wgan_jax.data.images.sample_images`, for conditional
      networks with their classes, such as `sample_labelled_images`.
    mesh: devices over which each batch is laid, of `wgan_jax.parallel.make_mesh`; None for where
      JAX puts it. The draws are the same, and the numbers but for the order of sums.

  Returns:
    The pair `(init, step)`.

  Raises:
    ValueError: a batch does not share out equally over the devices.

  References:
    [1] and [2], Algorithm 1.
  """
  networks = compute_in(networks, config.compute_dtype)
  parts = config.micro_batches
  critic, generator = networks.critic, generate_in_parts(networks.generator, parts)
  loss, penalty = config.loss_row, config.penalty_row
  objectives = make_objectives(
    loss, penalty, networks, micro_batches=parts, rematerialize=config.rematerialize
  )
  schedule = config.schedule if callable(config.schedule) else SCHEDULES[config.schedule]

  n_fake = config.generator_batch_size or config.batch_size
  each = " / Config.micro_batches" if parts > 1 else ""
  check_batch(mesh, config.batch_size // parts, f"Config.batch_size{each}")
  check_batch(mesh, n_fake // parts, f"Config.generator_batch_size{each}")

  def sample_latents(key, n):
    return share_samples(mesh, jax.random.normal(key, (n, networks.latent_dim)))

  def draw_real(key, data, n):
    """Draws real samples and, in a list, their classes if there are such."""
    drawn = sample_real(key, data, n)
    if isinstance(drawn, tuple) != bool(networks.n_classes):
      raise ValueError(
        "sample_real must return (samples, classes) for conditional networks and samples alone for"
        f" others, of {networks.n_classes} classes here"
      )
    real, *labels = drawn if networks.n_classes else (drawn,)
    if not jnp.issubdtype(real.dtype, jnp.floating):
      raise ValueError(
        f"sample_real must return floats in the range of the generator's samples, got {real.dtype}:"
        " images of 0 to 255 are scaled to [-1, 1] first"
      )
    return share_samples(mesh, (real, labels))

  def update_critic(key, state, hparams, data):
    key_real, key_latents, key_epsilon = jax.random.split(key, 3)
    real, labels = draw_real(key_real, data, config.batch_size)
    # The statistics that this pass would move are dropped: the generator is not being updated.
    latents = sample_latents(key_latents, config.batch_size)
    fake, _ = generator.apply(
      state.generator_params, state.batch_stats, latents, *labels, train=True
    )
    chex.assert_equal_shape([real, fake])
    fake = share_samples(mesh, fake)
    gradients, metrics = jax.grad(objectives.critic, has_aux=True)(
      state.critic_params, key_epsilon, real, fake, hparams.lambda_gp, *labels
    )
    params, opt_state = _update(
      config, hparams, gradients, state.critic_params, state.critic_opt_state
    )
    if penalty.project is not None:
      params = penalty.project(params, hparams)
    return state._replace(critic_params=params, critic_opt_state=opt_state), metrics

  def update_generator(key, state, hparams, data):
    real, labels = None, []
    if loss.generator_sees_real or networks.n_classes:
      real, labels = draw_real(jax.random.fold_in(key, _REAL_SAMPLES), data, n_fake)
    (generator_loss, batch_stats), gradients = jax.value_and_grad(
      objectives.generator, has_aux=True
    )(
      state.generator_params,
      state.batch_stats,
      state.critic_params,
      sample_latents(key, n_fake),
      real,
      *labels,
    )
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
      # Copies, so that a state can be donated.
      ema=jax.tree.map(jnp.copy, (generator_params, batch_stats)),
    )

  def step(state, hparams, data):
    factor = decay(schedule, state.step, hparams.decay_steps)
    rate, critic_rate = hparams.learning_rate, hparams.critic_learning_rate
    critic_rate = rate if critic_rate is None else critic_rate
    of_critic = hparams._replace(learning_rate=_times(factor, critic_rate))
    key_critic, key_generator = jax.random.split(jax.random.fold_in(state.key, state.step))
    state, metrics = jax.lax.scan(
      lambda state, key: update_critic(key, state, of_critic, data),
      state,
      jax.random.split(key_critic, config.n_critic),
      unroll=min(config.unroll, config.n_critic),
    )
    of_generator = hparams._replace(learning_rate=_times(factor, rate))
    state, generator_loss = update_generator(key_generator, state, of_generator, data)
    current = state.generator_params, state.batch_stats
    ema = move_average(state.ema, current, config.batch_size, hparams.ema_half_life)
    state = state._replace(step=state.step + 1, ema=ema)
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


def generate(
  networks: Pair,
  state: State,
  key: jax.Array,
  n: int,
  *,
  averaged: bool = True,
  labels: jax.Array | None = None,
) -> jax.Array:
  """Draws samples from a state: g(z) in sampling mode, with the running statistics.

  Args:
    networks: the critic and the generator, as given to `make_training`. They compute in their own
      type, whatever the `compute_dtype` that they were trained in.
    state: a state of one run.
    key: a PRNG key, for the latents.
    n: how many samples. Those of one key differ between one n and another.
    averaged: by the moving average of the generator; else as its last update left it.
    labels: the samples' classes, integers [n], for conditional networks only; None: drawn, all
      classes equally likely.

  Returns:
    The samples, [n, ...].

  Raises:
    ValueError: there are labels, and the networks take none.
  """
  latents = jax.random.normal(key, (n, networks.latent_dim))
  params, batch_stats = state.ema if averaged else (state.generator_params, state.batch_stats)
  if labels is not None and not networks.n_classes:
    raise ValueError("labels do nothing with networks that are not conditional")
  if labels is None and networks.n_classes:
    labels = jax.random.randint(jax.random.fold_in(key, _LABELS), (n,), 0, networks.n_classes)
  classes = () if labels is None else (labels,)
  samples, _ = networks.generator.apply(params, batch_stats, latents, *classes, train=False)
  return samples


def _update(config, hparams, gradients, params, opt_state):
  updates, moved = make_optimizer(config, hparams).update(gradients, opt_state, params)
  # A learning rate of more bits than the parameters makes them no wider.
  moved = jax.tree.map(
    lambda new, old: new if new.dtype == old.dtype else new.astype(old.dtype), moved, opt_state
  )
  return optax.apply_updates(params, updates), moved


def _times(factor, rate):
  """Scales a learning rate in its own type."""
  rate = jnp.asarray(rate)
  return factor.astype(rate.dtype) * rate


def _all_finite(*trees) -> jax.Array:
  return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(trees)]))
