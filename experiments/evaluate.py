"""Measures a checkpoint of a run, or samples from elsewhere, by all measures that apply.

python -m experiments.evaluate --workdir=RUN
python -m experiments.evaluate --samples=FILE.npz --dataset=mnist --out=FOLDER

Prints a table of the samples' values beside those of training data, which are the floor of each
distance and the ceiling of each share; of a run with --ema_half_life the values of both generators,
averaged and as the last update left it. Writes evaluation.json and evaluation.png. FILE.npz holds
`images`, uint8 [n, height, width, channels] or floats in [-1, 1], or `points`, [n, 2]. --features
measures images in the features of a network of your own; see docs/measures.md.
"""

import functools
import pathlib
import tempfile

import jax
import numpy as np
from absl import flags

from experiments.engine.folder import RunFolder
from experiments.engine.opening import check_data
from experiments.figures.evaluation import draw_evaluation
from experiments.host import cli
from experiments.host.digest import digest_state
from experiments.host.environment import describe_environment
from experiments.host.errors import UserError
from experiments.host.files import read_json, write_json
from experiments.measures.classes import load_classifier_measures
from experiments.measures.draws import Snapshot, generate_many, make_snapshot
from experiments.measures.samples import N_MODE_SAMPLES
from experiments.measures.table import all_rows
from experiments.report import evaluation
from experiments.report.features import TRAINING, load_features, measure_features
from experiments.spec import flags as shared_flags
from experiments.spec import folders
from experiments.spec.datasets import DATASETS, IMAGES, POINTS, load_dataset
from experiments.spec.settings import SETTINGS
from wgan_jax.data.images import to_uint8

_MAX_N = 100_000
_OPTIONS = [
  name
  for name in dict.fromkeys(option for row in DATASETS.values() for option in row.options)
  if not SETTINGS[name].derived
]


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  shared_flags.register_rows(
    flag_values,
    ("workdir", None, "The run folder whose checkpoint is measured."),
    shared_flags.STEP_ROW,
    ("samples", None, "An .npz with samples from elsewhere, instead of a run."),
    ("dataset", None, "Data set of --samples; a run's folder records its own.", [*IMAGES, *POINTS]),
    ("data_dir", None, "TFDS folder; if not given, TFDS_DATA_DIR, or else TFDS's own."),
  )
  shared_flags.register_options(flag_values)
  features = "Features of your own, of images: a function that jax.export serialised, or an .npz."
  n = "Samples to draw; if not given 2,000, of stacked images 26,000, of points 2,500."
  seed = "Seed of the latents, and of everything else that is drawn."
  shared_flags.register_rows(
    flag_values,
    ("features", None, features),
    ("n", None, n, (evaluation.LEAST, _MAX_N)),
    ("seed", 0, seed, (0, shared_flags.MAX_SEED)),
    ("out", None, "The folder to write to; if not given, the run's."),
  )


def main(flag_values: flags.FlagValues) -> None:
  """Measures, prints and writes."""
  _check(flag_values)
  out = pathlib.Path(flag_values.out or flag_values.workdir).expanduser()
  settings = state = params = shares = current = labels = None
  if flag_values.workdir:
    folder = RunFolder(pathlib.Path(flag_values.workdir).expanduser())
    settings, state = folder.restore(flag_values.step)
    shared_flags.check_data_dir(flag_values, settings.dataset)
    dataset, params = settings.load(flag_values.data_dir), state.critic_params
    check_data(folder.config, dataset.digest(), dataset.changed)
    title = f"{folder.path.resolve().name}, step {int(state.step)}"
  else:
    shared_flags.check_data_dir(flag_values, flag_values.dataset)
    there = DATASETS[flag_values.dataset].options
    options = {name: flag_values[name].value for name in _OPTIONS if name in there}
    options = {name: value for name, value in options.items() if value is not None}
    if flag_values.dataset == "folder":
      options = folders.inspect(options, conditional=False)
    dataset = load_dataset(flag_values.dataset, flag_values.data_dir, **options)
    path = pathlib.Path(flag_values.samples).expanduser()
    samples, title = evaluation.read_samples(path, dataset), path.name
  own = None
  if flag_values.features:
    own = load_features(pathlib.Path(flag_values.features).expanduser(), dataset)
  try:
    # Before measuring, which takes minutes.
    out.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=out).close()
  except OSError as error:
    raise UserError(f"--out={out} cannot be written ({error.strerror}): name a folder") from error
  classifier = load_classifier_measures(dataset)
  # A stream of its own, not that of a run with this seed.
  key = jax.random.fold_in(jax.random.key(flag_values.seed), 0x6576616C)
  key_latents, key_real, key_picture = jax.random.split(key, 3)
  if settings is not None:
    usual = N_MODE_SAMPLES if dataset.images is None else evaluation.N_EXACT
    n = flag_values.n or (classifier.n_samples if classifier else usual)
    networks = settings.networks()
    labels = evaluation.labels_for(dataset, networks, n)
    draw = functools.partial(generate_many, networks, state, key_latents, n, labels=labels)
    samples = draw()
    current = draw(averaged=False) if settings.ema_half_life else None
    if not all(np.isfinite(each).all() for each in (samples, current) if each is not None):
      raise UserError(f"the samples of {title} are not finite: the run diverged; name a --step")
  sha256 = digest_state([samples, np.int64(flag_values.seed)])
  _check_out(out, sha256)
  train, held_out, train_labels = evaluation.real_samples(dataset, key_real, len(samples))
  drawn = {"samples": samples} if current is None else {"averaged": samples, "last update": current}
  drawn[TRAINING] = train
  in_features = {} if own is None else measure_features(own, drawn, held_out)
  asked = {} if labels is None else dict.fromkeys(drawn, labels) | {TRAINING: train_labels}
  measured = {
    name: evaluation.evaluate_samples(dataset, classifier, each, held_out, asked.get(name))
    for name, each in drawn.items()
  }
  columns = {name: each.measures | in_features.get(name, {}) for name, each in measured.items()}
  head = next(iter(columns))  # That of the samples.
  critic = {}
  if settings is not None:
    exact = columns[head]["exact_wasserstein"]
    critic = evaluation.evaluate_critic(settings, dataset, state, samples, held_out, exact, labels)
  counts = {"samples": len(samples), "training_data": len(train), "held_out": len(held_out)}
  if settings is None:
    shown = samples[:1000] if dataset.images is None else to_uint8(samples[:64])
    snapshot = Snapshot(shown, None)
  else:
    snapshot = make_snapshot(settings.networks(), dataset)(state, key_picture)
  record = {
    "title": title,
    "samples_sha256": sha256,
    "counts": counts | {"distances_of_at_most": evaluation.N_EXACT},
    "samples": columns[head],
    "samples_without_averaging": columns.get("last update"),
    "training_data": columns[TRAINING],
    "critic": critic,
    "features": None if own is None else own.describe(),
    "classifier": None if classifier is None else classifier.describe(),
    "flags": flag_values.flag_values_dict(),
    "environment": describe_environment(),
  }
  if classifier is not None:
    shares = {"samples": measured[head].shares, TRAINING: classifier.shares}
  try:
    write_json(out / "evaluation.json", record)
    draw_evaluation(out / "evaluation.png", title, snapshot, dataset, shares, critic, params)
  except OSError as error:
    raise UserError(f"--out={out} cannot be written ({error.strerror})") from error
  print(
    f"{title}: {len(samples)} samples and {len(train)} training data, both against"
    f" {len(held_out)} held out of {dataset.name}; distances and the critic's measures take at most"
    f" {evaluation.N_EXACT} of each"
  )
  _print_table(columns, critic, {} if own is None else own.titles())
  print(f"written: {out}/evaluation.json, evaluation.png")


def _check(flag_values: flags.FlagValues) -> None:
  shared_flags.check_paths(flag_values, "workdir", "samples", "features", "folder", "out")
  if (flag_values.workdir is None) == (flag_values.samples is None):
    raise UserError("name either a run with --workdir, or a file with --samples")
  idle = ("dataset", *_OPTIONS) if flag_values.workdir else ("step", "n")
  given = "workdir" if flag_values.workdir else "samples"
  for name in idle:
    if flag_values[name].value is not None:
      raise UserError(f"--{name} does nothing with --{given}: leave it out")
  if flag_values.workdir:
    return
  if flag_values.dataset == "folder" and flag_values.folder is None:
    raise UserError("--folder is missing: name the folder of images that --samples are to be like")
  if flag_values.dataset is None or flag_values.out is None:
    raise UserError("--samples needs --dataset, their data set, and --out, a folder to write to")
  for name in _OPTIONS:
    if flag_values[name].present and name not in DATASETS[flag_values.dataset].options:
      raise UserError(f"--{name} does nothing with --dataset={flag_values.dataset}: leave it out")


def _check_out(out: pathlib.Path, sha256: str) -> None:
  """Refuses a folder with the evaluation of other samples: it would be overwritten.

  Args:
    out: the folder.
    sha256: of the samples and the seed.

  Raises:
    UserError: the folder holds another evaluation, or one that cannot be read.
  """
  file, drawn = out / "evaluation.json", out / "evaluation.png"
  if file.exists():
    if read_json(file).get("samples_sha256") != sha256:
      raise UserError(f"{file} is of other samples: remove it, or name another folder with --out")
  elif drawn.exists():
    raise UserError(f"{drawn} exists, and no {file.name}: name another folder with --out")


def _print_table(columns, critic, titles):
  names = list(dict.fromkeys(name for column in columns.values() for name in column))
  titles = {row.name: row.title for row in all_rows()} | titles
  titles = {name: titles.get(name, name.replace("_", " ")) for name in [*names, *critic]}
  width = max(map(len, titles.values())) + 2
  print(f"{'':{width}}" + "".join(f" {head:>{max(10, len(head) + 1)}}" for head in columns))
  for name in names:
    line = f"{titles[name]:{width}}"
    for head, column in columns.items():
      value = f"{column[name]:.4g}" if name in column else "-"
      line += f" {value:>{max(10, len(head) + 1)}}"
    print(line)
  for name, value in critic.items():
    values = value if isinstance(value, list) else [value]
    print(f"{titles[name]:{width}} {'  '.join(f'{each:10.4g}' for each in values)}")


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, __doc__))
