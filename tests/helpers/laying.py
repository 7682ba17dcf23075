"""Training on several devices, compared with one.

As a program, `python laying.py N_MEMBERS N_BATCH N_PROCESSES`, it prints the largest difference of
each case as JSON, on as many devices of the CPU as that takes: their number cannot change within a
process. The devices are shared out over the processes.
"""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

import wgan_jax
from experiments.host.channel import free_port
from wgan_jax import LOSSES, PENALTIES, Config, Hparams, Members
from wgan_jax.data.images import sample_images
from wgan_jax.networks.dcgan import dcgan
from wgan_jax.networks.mlp import mlp
from wgan_jax.parallel import make_mesh

BATCH, WHOLE = 8, PartitionSpec()
# Every loss and every penalty; a critic that is kept Lipschitz by nothing grows, and rounding too.
CASES = [("wasserstein", penalty) for penalty in PENALTIES if penalty != "none"]
CASES += [(loss, "gp") for loss in LOSSES if loss != "wasserstein"] + [("wasserstein", "none")]


def train(config, pair, sample_real, data, *, mesh=None, n_members=1, n_steps=5, options=None):
  """Trains members of seeds 0, 1, ... as the launchers do.

  Returns their states on the host, and the text of the program that trained them.
  """
  training = wgan_jax.make_training(config, pair, sample_real, mesh=mesh)
  sweep = wgan_jax.make_sweep(training, n_steps, batching="vmap", mesh=mesh)
  keys = jax.vmap(jax.random.key)(jnp.arange(n_members))
  hparams = Hparams(learning_rate=1e-3, clip_value=0.1, ema_half_life=100.0)
  hparams = jax.tree.map(
    lambda value: jnp.full(n_members, value, float), hparams._replace(critic_learning_rate=2e-3)
  )
  # From one start: a compiler may round the weights of another layout otherwise.
  alone = wgan_jax.make_sweep(wgan_jax.make_training(config, pair, sample_real), n_steps)
  members = jax.jit(alone.init, compiler_options=options)(keys, hparams)
  arguments, out = (Members(*members), hparams, data, np.int32(n_steps)), {}
  if mesh is not None and jax.process_count() > 1:
    arguments, out = lay_whole(arguments, mesh), {"out_shardings": NamedSharding(mesh, WHOLE)}
  chunk = jax.jit(sweep.chunk, **out).lower(*arguments).compile(options)
  state = chunk(*arguments)[0].state
  return jax.device_get(state._replace(key=jax.random.key_data(state.key))), chunk.as_text()


def lay_whole(tree, mesh):
  """Lays arrays of this process, which all have, on the devices of all of them."""

  def put(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return jax.random.wrap_key_data(put(jax.random.key_data(leaf)))
    array = np.asarray(leaf)
    whole = NamedSharding(mesh, WHOLE)
    return jax.make_array_from_callback(array.shape, whole, lambda index: array[index])

  return jax.tree.map(put, tree)


def case(loss, penalty):
  """Batch normalisation, an averaged generator and images for some methods; points for others.

  By plain gradient descent: Adam would divide the rounding of gradients that are zero, such as that
  of the score's bias, by itself. In float64 its epsilon is large against that of the images' bias.
  """
  of_images = (loss, penalty) in (("wasserstein", "gp"), ("wasserstein", "clip"))
  adam = of_images and jax.config.jax_enable_x64
  optimizer = "adam" if adam else lambda rate, hparams: optax.sgd(rate)
  config = Config(loss=loss, penalty=penalty, optimizer=optimizer, batch_size=BATCH, n_critic=2)
  if of_images:
    images = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1), np.uint8)
    pair = dcgan((28, 28, 1), latent_dim=4, width=2)
    return config, wide(pair), lambda *args: cast(sample_images(*args)), images

  def sample_points(key, data, n):
    return data[jax.random.randint(key, (n,), 0, len(data))]

  points = jnp.asarray(np.random.default_rng(0).normal(2, 1, (32, 2)))
  return config, wide(mlp((2,), latent_dim=3, width=8, depth=2)), sample_points, points


def cast(tree):
  """Arrays in JAX's widest float now."""
  return optax.tree.cast(tree, jnp.zeros(()).dtype)


def wide(pair):
  """The same networks with parameters and statistics in JAX's widest float now."""
  critic, generator = pair.critic, pair.generator
  return pair._replace(
    critic=critic._replace(init=lambda key: cast(critic.init(key))),
    generator=generator._replace(init=lambda key: cast(generator.init(key))),
  )


def difference(a, b) -> float:
  """The largest difference of two trees, in units of the largest entry."""
  a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (a, b))
  return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def compare(method, mesh, n_members=1, options=None) -> float:
  """How far five steps on a mesh are from those on one device."""
  problem = case(*method)
  laid, _ = train(*problem, mesh=mesh, n_members=n_members, options=options)
  alone, _ = train(*problem, n_members=n_members, options=options)
  parts = ("critic_params", "generator_params", "ema")  # With the running statistics.
  return max(difference(getattr(laid, part), getattr(alone, part)) for part in parts)


if __name__ == "__main__":
  n_groups, n_batch, n_processes, *rank = map(int, sys.argv[1:])
  jax.config.update("jax_num_cpu_devices", n_groups * n_batch // n_processes)
  if n_processes > 1:
    port, index = rank or (free_port(), 0)
    if not rank:
      others = [*sys.argv[1:], str(port)]
      for i in range(1, n_processes):
        command = [sys.executable, __file__, *others, str(i)]
        subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
    jax.distributed.initialize(f"localhost:{port}", n_processes, index)
  mesh = make_mesh(jax.devices(), n_batch)
  print(json.dumps({"-".join(method): compare(method, mesh, n_groups) for method in CASES}))
