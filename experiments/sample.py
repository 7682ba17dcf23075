"""Draws samples from a checkpoint of a run: a picture, an .npz, or a folder of PNGs.

python -m experiments.sample --workdir=RUN --n=64

The ending of --out decides the form: NAME.png is one picture. NAME.npz holds `images`, uint8
[n, height, width, channels], or `points`, float32 [n, 2]. A name without an ending is a folder of n
PNGs, for images only. These two are drawn in batches: stopped or killed, the same command goes on.
"""

import functools
import pathlib

import jax
from absl import flags

from experiments.engine.folder import RunFolder
from experiments.figures.samples import draw_grid, draw_points
from experiments.host import cli
from experiments.host.digest import digest_state
from experiments.host.errors import UserError
from experiments.measures.draws import generate_batches, generate_many
from experiments.report.drawing import write_samples
from experiments.spec.datasets import POINTS
from experiments.spec.flags import MAX_SEED, STEP_ROW, check_paths, register_rows
from wgan_jax.data.images import to_uint8

_MAX_GRID = 2500


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  register_rows(
    flag_values,
    ("workdir", None, "The run folder."),
    ("n", 64, "How many samples.", (1, 10**6)),
    STEP_ROW,
    ("averaged", True, "Draw from the moving average of the generator, where the run has one."),
    ("seed", 0, "Seed of the latents.", (0, MAX_SEED)),
    ("out", None, "Where to write; if not given, WORKDIR/samples-stepSTEP-seedSEED-nN.png."),
  )


def main(flag_values: flags.FlagValues) -> None:
  """Restores, draws and writes."""
  if flag_values.workdir is None:
    raise UserError("--workdir is missing: name a run folder")
  check_paths(flag_values, "workdir", "out")
  folder = RunFolder(pathlib.Path(flag_values.workdir).expanduser())
  settings, state = folder.restore(flag_values.step)
  averaged = flag_values.averaged
  if flag_values["averaged"].present and not settings.ema_half_life:
    raise UserError("--averaged does nothing with a run without --ema_half_life: leave it out")
  step, n, seed = int(state.step), flag_values.n, flag_values.seed
  form = "samples" if averaged else "samples-current"
  default = folder.path / f"{form}-step{step}-seed{seed}-n{n}.png"
  out = pathlib.Path(flag_values.out or default).expanduser()
  if out.suffix not in (".png", ".npz", ""):
    raise UserError(f"--out={out} ends in {out.suffix}: name a .png, an .npz, or a folder")
  if flag_values.out and out.suffix == ".png" and out.exists():
    raise UserError(f"--out={out} exists: remove it or name another")
  points = settings.dataset in POINTS
  if points and out.suffix == "":
    raise UserError(f"--out={out} is for a folder of images: name a .png or an .npz for points")
  if out.suffix == ".png" and n > _MAX_GRID:
    raise UserError(f"--n={n} is too many for one picture: name another form with --out")

  # A stream of its own, not that of a run with this seed.
  key = jax.random.fold_in(jax.random.key(seed), 0x73616D70)
  options = {"averaged": averaged} | ({} if points else {"transform": to_uint8})
  given = settings.networks(), state, key, n
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".png":
      title = f"{settings.dataset}, {settings.loss}, {settings.penalty}, step {step}, seed {seed}"
      _draw_picture(out, generate_many(*given, **options), title, settings)
    else:
      generator = state.ema if averaged else (state.generator_params, state.batch_stats)
      record = {"n": n, "step": step, "averaged": averaged, "seed": seed}
      record["generator"] = digest_state(generator)[:16]
      draw = functools.partial(generate_batches, *given, **options)
      write_samples(out, lambda start: draw(start=start), n, record)
  except OSError as error:
    raise UserError(f"--out={out} cannot be written ({error.strerror})") from error
  print(f"{n} samples of step {step} in {out}")


def _draw_picture(out, samples, title, settings):
  if samples.ndim == 2:
    draw_points(out, samples, settings.load(), title)
  else:
    draw_grid(out, samples, title)


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, __doc__))
