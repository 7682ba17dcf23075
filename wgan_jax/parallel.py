"""Many devices: a mesh of two axes, over which members of a sweep and samples of a batch are laid.

The computation stays that of one device. Samples are constrained to the axis "batch", everything
else is whole on each device, and the compiler divides the work: means over a batch become
all-reduces. So penalty, batch normalisation, estimates and gradients are those of the whole batch.
"""

from collections.abc import Sequence

import chex
import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

MEMBERS, BATCH = "members", "batch"
"""The axes of a mesh, and what is laid over them."""


def make_mesh(devices: Sequence[jax.Device], n_batch: int = 1) -> Mesh:
  """Builds a mesh for `wgan_jax.make_training` and `wgan_jax.make_sweep`.

  Args:
    devices: in the order in which they are laid out.
    n_batch: over how many of them the samples of a batch are laid; the members of a sweep are laid
      over as many such groups as there are.

  Returns:
    The mesh, [members, batch].

  Raises:
    ValueError: `n_batch` does not divide the number of devices.
  """
  if n_batch < 1 or len(devices) % n_batch:
    raise ValueError(f"{len(devices)} devices do not make groups of n_batch={n_batch}")
  grid = np.array(devices).reshape(-1, n_batch)
  return Mesh(grid, (MEMBERS, BATCH), axis_types=(AxisType.Auto, AxisType.Auto))


def check_batch(mesh: Mesh | None, n: int, name: str) -> None:
  """Refuses a batch that does not lie in equal shares on the devices of a mesh.

  Args:
    mesh: of `make_mesh`, or None.
    n: samples in the batch.
    name: what to call them in the message.

  Raises:
    ValueError: the devices do not divide it.
  """
  if n % batch_devices(mesh):
    raise ValueError(f"{name}={n} does not share out equally over {batch_devices(mesh)} devices")


def batch_devices(mesh: Mesh | None) -> int:
  """Over how many devices of a mesh the samples of a batch are laid; 1 without a mesh."""
  return 1 if mesh is None else mesh.shape.get(BATCH, 1)


def share_samples(mesh: Mesh | None, samples: chex.ArrayTree) -> chex.ArrayTree:
  """Lays samples over the devices of a mesh by their leading axis; for traced code.

  Args:
    mesh: of `make_mesh`. Without one, or with one device a batch, the samples are as they were.
    samples: arrays of [batch, ...], such as latents, real and generated samples.

  Returns:
    The same values.
  """
  if batch_devices(mesh) == 1:
    return samples
  # Within a `shard_map` over members the mesh is that of the context.
  context = jax.sharding.get_abstract_mesh()
  sharding = NamedSharding(context if BATCH in context.axis_names else mesh, PartitionSpec(BATCH))
  return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, sharding), samples)
