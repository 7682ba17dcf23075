"""Random flags, many of them hostile: obeyed up to where training begins, or refused in a line."""

import functools
import random

import jax
import pytest
from absl import flags as absl_flags
from helpers.attacking import SURVIVED, TRACEBACK, WRONG, contents, launched
from helpers.launching import copy_run

from experiments import benchmark, evaluate, images, mnist, reproduce, sample, sweep, toy
from experiments.engine import start
from experiments.engine.folder import RunFolder
from experiments.host.environment import describe_environment
from experiments.spec import reading
from experiments.speed.rows import Row

pytestmark = pytest.mark.campaign

N = 1500  # Of each launcher.
LAUNCHERS = [mnist, images, toy, sweep, sample, evaluate, reproduce, benchmark]

_HOSTILE = [
  "", " ", "0", "-1", "1", "2", "1e400", "-1e400", "nan", "inf", "1e-320", "0x10", "1_000",
  "9" * 25, "9" * 5000, "true", "no", "None", "a,b", ",", "1,,2", "1,1", "../up", "~zzz/run",
  "gs://bucket/run", "file:///run", "ü", "\udcff", "\n", "%s{}", "x" * 300, "/dev/null/run", "-",
  "--help", "=", "'", "a b", "run", "file", "new/run", "new.npz", "new.png", "new.txt", ".",
  "\u0661",
]  # fmt: skip


class Begun(BaseException):
  """All flags were obeyed: from here on a launcher works."""


def begun(*_, **__):
  raise Begun


_restore = RunFolder.restore


@functools.cache
def _restored(path, step):
  return _restore(RunFolder(path), step)


def restore_once(folder, step=None):
  """Reads each checkpoint once: this is about flags."""
  return _restored(folder.path.absolute(), step)


@pytest.fixture
def stopping(monkeypatch, tmp_path):
  """Launchers stop where the work begins, in a folder with a run and a file."""
  monkeypatch.chdir(tmp_path)
  copy_run(tmp_path / "run", "--steps=4")
  (tmp_path / "file").write_text("mine")
  described = describe_environment()
  for module in (start, sweep, reproduce, benchmark):
    monkeypatch.setattr(module, "describe_environment", lambda: described)
  monkeypatch.setattr(reading, "resolve_auto", lambda data_dir: "digits")
  monkeypatch.setattr(start.Settings, "load", begun)
  monkeypatch.setattr(sweep, "make_loader", begun)
  monkeypatch.setattr(RunFolder, "restore", restore_once)
  for name in ("generate_many", "generate_batches"):
    monkeypatch.setattr(sample, name, begun)
  for name in ("load_dataset", "check_data"):
    monkeypatch.setattr(evaluate, name, begun)
  monkeypatch.setattr(reproduce, "locked", begun)
  rows = {name: Row(name, name, begun) for name in ("first", "second")}
  monkeypatch.setattr(benchmark, "ROWS", rows)
  monkeypatch.setattr(benchmark, "PRESETS", {name: list(rows) for name in benchmark.PRESETS})
  kept = {
    name: getattr(jax.config, name)
    for name in (
      "jax_compilation_cache_dir",
      "jax_enable_compilation_cache",
      "jax_persistent_cache_min_compile_time_secs",
    )
  }
  yield tmp_path
  for name, value in kept.items():
    jax.config.update(name, value)


def flag_kinds(launcher):
  """By flag, words that its parser takes."""
  flag_values = absl_flags.FlagValues()
  launcher.register(flag_values)
  kinds = {}
  for name in flag_values:
    parser = flag_values[name].parser
    words = list(getattr(parser, "enum_values", None) or [])
    for bound in ("lower_bound", "upper_bound"):
      value = getattr(parser, bound, None)
      words += [] if value is None else [str(value), str(value - 1), str(value + 1)]
    kinds[name] = words or ["true", "false", "run", "1"]
  return kinds


def random_flags(kinds, rng):
  given = []
  for name in rng.sample(sorted(kinds), min(len(kinds), rng.choice([1, 2, 2, 3, 5, 8]))):
    value = rng.choice(kinds[name]) if rng.random() < 0.7 else rng.choice(_HOSTILE)
    if name == "yes":  # It takes the bound of a sweep's size away.
      continue
    forms = [f"--{name}={value}"] * 8 + [f"--{name}", f"--no{name}", f"-{name}={value}", value]
    given.append(rng.choice(forms))
  return given


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda each: each.__name__.split(".")[-1])
def test_any_flags_are_obeyed_or_refused_in_one_line(counted, stopping, launcher):
  kinds, rng = flag_kinds(launcher), random.Random(launcher.__name__)
  neighbour = stopping.parent / f"precious-{launcher.__name__}"
  neighbour.mkdir()
  (neighbour / "thesis.tex").write_text("mine")
  precious = contents(neighbour) | contents(stopping / "run")
  with counted("flags") as tally:
    for number in range(N):
      given = random_flags(kinds, rng)
      word = SURVIVED
      try:
        ended = launched(launcher, *given, seconds=20)
      except Begun:
        ended = None
      if ended is not None and ended.status != 0 and not ended.refused:
        word = TRACEBACK
      tally.add(word, f"{launcher.__name__} {number}: {given}", ended and ended.err)
    if contents(neighbour) | contents(stopping / "run") != precious:
      tally.add(WRONG, launcher.__name__, "a file of others, or of the run, is another")
