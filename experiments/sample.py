"""Draws samples from a checkpoint of a run: a grid, an .npz, or a folder of PNGs for other tools.

python -m experiments.sample --workdir=RUN --n=64

The kind of --out decides the form: NAME.png is one grid, NAME.npz holds `images`, uint8
[n, height, width, channels], and a name without an ending is a folder of n PNGs.
"""

import io
import pathlib
import sys

import jax
import numpy as np
from absl import flags

from experiments.harness import checkpoints, cli
from experiments.harness.errors import UserError
from experiments.harness.files import write_bytes
from experiments.harness.flags import MAX_SEED, MAX_STEPS, refuse_empty
from experiments.harness.plots import draw_grid
from experiments.harness.program import make_sampler
from experiments.harness.run_folder import RunFolder
from wgan_jax.data.images import IMAGE_SHAPE, sample_images
from wgan_jax.training import make_training

_BATCH = 500
_MAX_GRID = 2500
_MAX_N = 1_000_000


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  flags.DEFINE_string("workdir", None, "The run folder.", flag_values=flag_values)
  flags.DEFINE_integer(
    "n", 64, "How many samples.", lower_bound=1, upper_bound=_MAX_N, flag_values=flag_values
  )
  flags.DEFINE_integer(
    "step",
    None,
    "The checkpoint; the newest that verifies where none is named.",
    lower_bound=1,
    upper_bound=MAX_STEPS,
    flag_values=flag_values,
  )
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of the latents.",
    lower_bound=0,
    upper_bound=MAX_SEED,
    flag_values=flag_values,
  )
  flags.DEFINE_string(
    "out",
    None,
    "Where to write; WORKDIR/samples-stepSTEP-seedSEED-nN.png where not named.",
    flag_values=flag_values,
  )


def main(flag_values: flags.FlagValues) -> None:
  """Restores, draws and writes."""
  if flag_values.workdir is None:
    raise UserError("--workdir is missing: name a run folder")
  refuse_empty(flag_values, "workdir", "out")
  folder = RunFolder(pathlib.Path(flag_values.workdir).expanduser())
  settings = folder.read_settings()
  pair = settings.networks(IMAGE_SHAPE)
  training = make_training(settings.config(), pair, sample_images)
  like = jax.eval_shape(training.init, jax.random.key(0), settings.hparams())
  state = _restore(folder.checkpoints, flag_values.step, like)
  step, n, seed = int(state.step), flag_values.n, flag_values.seed
  default = folder.path / f"samples-step{step}-seed{seed}-n{n}.png"
  out = pathlib.Path(flag_values.out or default).expanduser()
  if out.suffix not in (".png", ".npz", ""):
    raise UserError(f"--out={out} ends in {out.suffix}: name a .png, an .npz, or a folder")
  if flag_values.out and out.exists():
    raise UserError(f"--out={out} exists: remove it or name another")
  if out.suffix == ".png" and n > _MAX_GRID:
    raise UserError(f"--n={n} is too many for one grid: name an .npz or a folder with --out")

  sample = jax.jit(make_sampler(pair), static_argnums=2)
  # A stream of its own, not that of a run with this seed. Folded in, not split: the first samples
  # of a larger n are the same.
  key = jax.random.fold_in(jax.random.key(seed), 0x73616D70)
  batches = [sample(state, jax.random.fold_in(key, i), _BATCH) for i in range(-(-n // _BATCH))]
  images = np.concatenate(batches)[:n]
  title = f"{settings.dataset}, {settings.loss}, {settings.penalty}, step {step}, seed {seed}"
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(out, images, title)
  except OSError as error:
    raise UserError(f"--out={out} cannot be written ({error.strerror})") from error
  print(f"{n} samples of step {step} in {out}")


def _restore(directory, step, like):
  if step is None:
    checkpoint = checkpoints.restore_newest(directory, like)
    if checkpoint is None:
      raise UserError(f"{directory} holds no checkpoint: train the run first")
    return checkpoint.state
  kept = checkpoints.steps(directory)
  if step not in kept:
    raise UserError(f"--step={step} has no checkpoint; there are {', '.join(map(str, kept))}")
  return checkpoints.restore(directory, step, like).state


def _write(out, images, title):
  if out.suffix == ".png":
    draw_grid(out, images, title)
  elif out.suffix == ".npz":
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images)
    write_bytes(out, buffer.getvalue())
  else:
    from PIL import Image

    out.mkdir()
    for place, image in enumerate(images):
      Image.fromarray(image.squeeze(-1)).save(out / f"{place:06d}.png")


if __name__ == "__main__":
  sys.exit(cli.run(main, register, __doc__))
