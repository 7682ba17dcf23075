"""Functions that register the flags that launchers share, and that read them into settings."""

import pathlib
from collections.abc import Collection

from absl import flags

from experiments.host.errors import UserError
from experiments.spec.datasets import DATASETS
from experiments.spec.grid import METHODS
from experiments.spec.networks import ARCHITECTURES
from experiments.spec.parsers import FiniteParser, TextParser, register_list
from experiments.spec.setting import ROWS, Setting
from experiments.spec.settings import SETTINGS, types_of

MAX_STEPS = 10**8
MAX_SEED = SETTINGS["seed"].high
_STEP = "Step of the checkpoint; if not given, the newest that verifies."
STEP_ROW = ("step", None, _STEP, (1, MAX_STEPS))


def register_rows(flag_values: flags.FlagValues, *rows: tuple) -> None:
  """Registers flags, each a row of its name, default, help, and values.

  The values are a list of words, or the bounds (low, high) of an integer. Without them the flag is
  a boolean if its default is one, else a string.
  """
  for name, default, text, *values in rows:
    if not values:
      define = flags.DEFINE_boolean if isinstance(default, bool) else flags.DEFINE_string
      define(name, default, text, flag_values=flag_values)
    elif isinstance(values[0], list):
      flags.DEFINE_enum(name, default, values[0], text, flag_values=flag_values)
    else:
      bounds = dict(zip(("lower_bound", "upper_bound"), values[0], strict=True))
      flags.DEFINE_integer(name, default, text, **bounds, flag_values=flag_values)


def register_images(flag_values: flags.FlagValues, *names: str) -> None:
  """Registers the flags that choose one of some data sets, images among them."""
  text = "Data set; auto is MNIST if it is prepared or can be downloaded, else digits."
  folder = "TFDS folder; TFDS_DATA_DIR if not given, or TFDS's own."
  register_rows(
    flag_values, ("dataset", "auto", text, ["auto", *names]), ("data_dir", None, folder)
  )


def register_settings(
  flag_values: flags.FlagValues, datasets: Collection[str], *, lists: bool = False
) -> None:
  """Registers a flag for each setting that means something with some of the data sets.

  The data set and the seed are not among them.

  Args:
    flag_values: where they are defined.
    datasets: those that the launcher offers.
    lists: whether each flag takes a list of values. `--methods` is there then, too.
  """
  for name, setting in SETTINGS.items():
    idle = setting.of == "dataset" and not _having(setting, datasets)
    fixed = name == "architecture" and len(_values(name, datasets)) == 1
    if not (idle or fixed or setting.derived or name in ("dataset", "seed")):
      define_setting(flag_values, name, datasets, lists=lists)
  if lists:
    text = (
      "Instead of all combinations of --loss, --penalty and --critic: a loss alone, a penalty with"
      " its loss, or a critic that is 1-Lipschitz by construction."
    )
    register_list(flag_values, "methods", None, text, flags.EnumParser(list(METHODS)))


def register_preset(flag_values: flags.FlagValues, **texts: str) -> None:
  """Registers --preset; the texts say what each is, and how long it takes."""
  text = " ".join(f"{name}: {each}" for name, each in texts.items())
  text += " A flag that is given decides against it."
  register_rows(flag_values, ("preset", None, text, list(texts)))


def register_options(flag_values: flags.FlagValues) -> None:
  """Registers the flags of the settings that only some data sets have."""
  for name in dict.fromkeys(option for source in DATASETS.values() for option in source.options):
    if not SETTINGS[name].derived:
      define_setting(flag_values, name)


def define_setting(
  flag_values: flags.FlagValues,
  name: str,
  datasets: Collection[str] = DATASETS,
  *,
  lists: bool = False,
) -> None:
  """Registers the flag of one setting, in a launcher that offers these data sets."""
  setting, kind = SETTINGS[name], types_of(name)[0]
  # A default that depends on other settings stands in the table above the flags.
  default = None if setting.of or callable(setting.default) else setting.default
  text = setting.help
  having = _having(setting, datasets)
  if setting.of and len(having) < len(_values(setting.of, datasets)):
    text += f" Only with --{setting.of}={','.join(map(str, having))}."
  if kind is bool:
    parser = flags.BooleanParser()
  elif setting.read is not None:
    parser = TextParser(setting.read)
  elif kind is str:
    values = list(_values(name, datasets))
    parser = flags.EnumParser(values) if values else flags.ArgumentParser()
  else:
    parser = (flags.IntegerParser if kind is int else FiniteParser)(setting.low, setting.high)
  # A sweep is of one set of images, and the name of a folder may hold commas.
  if lists and name not in DATASETS["folder"].options:
    register_list(flag_values, name, None if default is None else (default,), text, parser)
  else:
    serializer = flags.ArgumentSerializer()
    flags.DEFINE(parser, name, default, text, flag_values, serializer, boolean=kind is bool)


def _values(name: str, datasets: Collection[str]) -> Collection[str]:
  """Lists what a setting can be with some of the data sets."""
  if name == "dataset":
    return datasets
  if name == "architecture":
    kinds = {DATASETS[dataset].kind for dataset in datasets}
    return [each for each, row in ARCHITECTURES.items() if kinds & set(row.kinds)]
  return SETTINGS[name].choices


def _having(setting: Setting, datasets: Collection[str]) -> list[str]:
  """Lists the values of the deciding choice with which a setting means something."""
  if setting.of is None:
    return []
  return [name for name in _values(setting.of, datasets) if setting.applies(ROWS[setting.of][name])]


def register_run(
  flag_values: flags.FlagValues,
  *,
  steps_text: str,
  slow_every: int | None = 0,
  log_every: int = 100,
  sample_every: int | None = 1000,
  checkpoint_every: int = 1000,
) -> None:
  """Registers the flags of a run: its length, its folder and what is written when.

  --steps has no default of its own: it is `spec.defaults.default_steps` of the settings, which the
  text says.
  """
  pictures = "Steps between pictures of samples" + (
    " and curves (of these, fewer where they would slow training)."
    if sample_every
    else "; the end only, if not given."
  )
  positive, not_negative = (1, MAX_STEPS), (0, MAX_STEPS)
  # In the order in which they are recorded.
  register_rows(
    flag_values,
    ("workdir", None,
      "The folder to write. One under runs/ that the launcher names, if not given."),
    ("steps", None,
      "Generator updates in all; a larger value extends a finished run. If not given"
      f" {steps_text}.", positive),
    ("log_every", log_every, "Steps between lines of metrics.", positive),
    ("sample_every", sample_every, pictures, positive),
    ("checkpoint_every", checkpoint_every,
      "Steps between checkpoints; the last 3 are kept.", positive),
    ("compilation_cache", None,
      "Folder of compiled programs for the next start; none to keep none. The user's cache folder,"
      " if not given."),
    ("data_parallel", None,
      "Devices over which each batch is laid, a divisor of it. If not given, as many accelerators"
      " as divide it for a run alone, and one for the members of a sweep, which have devices of"
      " their own.", (1, 4096)),
    ("slow_every", slow_every,
      "Steps between lines of metrics that hold the slow measures too (exact distance, certificate,"
      " what a classifier sees, gradients), seconds each; 0 for never.", not_negative),
  )  # fmt: skip
  flags.DEFINE_alias("exact_every", "slow_every", flag_values=flag_values)  # Its earlier name.
  register_processes(flag_values)


def register_processes(flag_values: flags.FlagValues) -> None:
  """Registers the flags of processes that train together."""
  register_rows(
    flag_values,
    ("coordinator", None,
      "Where process 0 of several is reached, HOST:PORT with a free port, the same for all of them;"
      " auto: what SLURM, Open MPI, Kubernetes or a Cloud TPU says of all three flags."),
    ("num_processes", None, "How many processes train together.", (1, 65536)),
    ("process_id", None,
      "Which of them this is, from 0. Process 0 alone writes the folder.", (0, 65535)),
    ("join_seconds", 300, "How long a process waits for the others at the start.", (1, 86400)),
  )  # fmt: skip


def register_single(flag_values: flags.FlagValues) -> None:
  """Registers the flags of a launcher that trains one run."""
  define_setting(flag_values, "seed")
  register_rows(flag_values, ("tensorboard", False, "Write TensorBoard events too."))


def check_run(flag_values: flags.FlagValues) -> None:
  """Refuses flags of `register_run` that do nothing, or that cannot be obeyed here.

  Raises:
    UserError: names the flag.
  """
  check_paths(flag_values, "workdir", "compilation_cache")
  own = "folder" in flag_values and flag_values.folder is not None
  if own:
    check_paths(flag_values, "folder")
  if "data_dir" in flag_values:
    check_data_dir(flag_values, "folder" if own else flag_values.dataset)
  if flag_values.slow_every and flag_values.slow_every % flag_values.log_every:
    raise UserError(
      f"--slow_every={flag_values.slow_every} must be a multiple of"
      f" --log_every={flag_values.log_every}: the slow measures stand in the lines of metrics"
    )


def check_data_dir(flag_values: flags.FlagValues, dataset: str) -> None:
  """Refuses a folder that is empty, or that a data set does not read.

  Raises:
    UserError: names the flag.
  """
  check_paths(flag_values, "data_dir")
  reads_files = dataset in (None, "auto") or DATASETS[dataset].reads_files
  if flag_values.data_dir is not None and not reads_files:
    raise UserError(f"--data_dir does nothing with {dataset}: leave it out")


def check_paths(flag_values: flags.FlagValues, *names: str) -> None:
  """Refuses a path that is empty, mostly an unset variable of the shell, a URL, or no UTF-8.

  Raises:
    UserError: names the flag.
  """
  for name in names:
    path = flag_values[name].value or ""
    if flag_values[name].value == "":
      raise UserError(f"--{name}= is empty: name a path, or leave the flag out")
    if "://" in path:
      raise UserError(f"--{name}={path} is a URL: name a local path")
    try:
      path.encode()
      pathlib.Path(path).expanduser()
    except UnicodeEncodeError as error:  # Other packages take no other paths.
      raise UserError(f"--{name}={path!a} is not UTF-8 here: name another path") from error
    except RuntimeError as error:
      raise UserError(f"--{name}={path}: there is no such home folder: name another") from error
