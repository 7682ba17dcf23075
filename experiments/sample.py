"""Draws samples from a checkpoint of a run: a picture, an .npz, or a folder of PNGs.

python -m experiments.sample --workdir=RUN --n=64

The ending of --out decides the form: NAME.png is one picture. NAME.npz holds `images`, uint8
[n, height, width, channels], of a conditional run `labels` too, or `points`, float32 [n, 2]. A name
without an ending is a folder of n PNGs, for images only. These two are drawn in batches: stopped or
killed, the same command goes on.
"""

import functools
import pathlib

import jax
import numpy as np
from absl import flags

from experiments.engine.folder import RunFolder
from experiments.engine.opening import read_record
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
_MOST_ROWS = 100  # Classes of a picture without --n.


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  register_rows(
    flag_values,
    ("workdir", None, "The run folder."),
    ("n", None, "How many samples; if not given 64, of a conditional run ten a class.", (1, 10**6)),
    STEP_ROW,
    ("averaged", True, "Draw from the moving average of the generator, where the run has one."),
    ("seed", 0, "Seed of the latents.", (0, MAX_SEED)),
    (
      "class",
      None,
      "Of a conditional run: the class of all samples, a number or a name; if not"
      " given sample i is of class i modulo the number of classes, in a picture a row a class.",
    ),
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
  networks, wanted = settings.networks(), flag_values["class"].value
  step, seed, n_classes = int(state.step), flag_values.seed, networks.n_classes
  n = flag_values.n or (10 * n_classes if 0 < n_classes <= _MOST_ROWS else 64)
  labels = _read_labels(wanted, n_classes, n, folder.config)
  form = "samples" if averaged else "samples-current"
  form += "" if wanted is None else f"-class{labels[0]}"
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
  options = {"averaged": averaged, "labels": labels}
  options |= {} if points else {"transform": to_uint8}
  given = networks, state, key, n
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".png":
      title = f"{settings.title}, {settings.method}, step {step}, seed {seed}"
      samples = generate_many(*given, **options)
      if n_classes and wanted is None:
        samples = _by_class(samples, n_classes)
      _draw_picture(out, samples, title, settings)
    else:
      generator = state.ema if averaged else (state.generator_params, state.batch_stats)
      record = {"n": n, "step": step, "averaged": averaged, "seed": seed}
      record["generator"] = digest_state(generator)[:16]
      record |= {} if labels is None else {"class": wanted}
      draw = functools.partial(generate_batches, *given, **options)
      write_samples(out, lambda start: draw(start=start), n, record, labels)
  except OSError as error:
    raise UserError(f"--out={out} cannot be written ({error.strerror})") from error
  print(f"{n} samples of step {step} in {out}")


def _read_labels(
  wanted: str | None, n_classes: int, n: int, config: pathlib.Path
) -> np.ndarray | None:
  """The samples' classes, [n]; None for networks that take none.

  Raises:
    UserError: there is no such class.
  """
  if not n_classes:
    if wanted is not None:
      raise UserError("--class does nothing with a run without --conditional: leave it out")
    return None
  if wanted is None:
    return np.arange(n) % n_classes
  names = read_record(config).get("classes", [])
  if wanted in names:
    return np.full(n, names.index(wanted))
  if wanted.isdecimal() and int(wanted) < n_classes:
    return np.full(n, int(wanted))
  there = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
  raise UserError(
    f"--class={wanted} is none of 0 to {n_classes - 1}" + f", nor of {there}" * bool(names)
  )


def _by_class(images: np.ndarray, n_classes: int) -> np.ndarray:
  """Orders images whose classes take turns as a row a class, where they fill all rows."""
  if len(images) % n_classes or len(images) == n_classes:
    return images
  rows = images.reshape(-1, n_classes, *images.shape[1:])
  return rows.swapaxes(0, 1)


def _draw_picture(out, samples, title, settings):
  if samples.ndim == 2:
    draw_points(out, samples, settings.load(), title)
  else:
    draw_grid(out, samples, title)


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, __doc__))
