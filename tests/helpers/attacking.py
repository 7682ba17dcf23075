"""Attacks from outside: launchers in this process or one of their own, and how each try ended.

A try survives if it ends well with the right results, or in one line that says what is wrong while
nothing is lost. Everything else has one of the other `WORDS`.
"""

import collections
import contextlib
import hashlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

import jax
from helpers.launching import TINY, final_state, launch, results

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.figures.pictures import Picture

ROOT = pathlib.Path(__file__).parents[2]
WORDS = ("survived", "lost", "silently wrong", "traceback")
SURVIVED, LOST, WRONG, TRACEBACK = WORDS
_SHOWN = 5


class Ended(NamedTuple):
  """How a launcher ended: its exit status, and what it printed."""

  status: int
  out: str
  err: str

  @property
  def refused(self) -> bool:
    """Whether it ended in one line that says why, after what it said while it worked."""
    errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
    is_last = self.err.splitlines()[-1:] == errors[-1:]
    return self.status == 2 and len(errors) == 1 and is_last and "Traceback" not in self.err

  def warned(self, named: str) -> bool:
    """Whether a warning names something."""
    lines = self.err.splitlines()
    return any(line.startswith("warning: ") and named in line for line in lines)


class Tally:
  """Counts how the tries of one kind ended, and keeps the first that did not survive."""

  def __init__(self):
    self.counts = collections.Counter()
    self._offences = []

  def add(self, word: str, case: object, ended: object = "", n: int = 1) -> None:
    """Counts a try, or `n` that ended together; `case` says how to repeat it."""
    self.counts[word] += n
    if word != SURVIVED:
      self._offences.append(f"{word}: {case}\n{str(ended)[-1500:]}")

  def check(self) -> None:
    """Fails if any try did not survive."""
    assert sum(self.counts.values()), "nothing was tried"
    shown = "\n\n".join(self._offences[:_SHOWN])
    assert not self._offences, f"{dict(self.counts)}, the first of them:\n{shown}"


def judge(ended: Ended, same: Callable[[], bool], named: str = "") -> str:
  """-> one of `WORDS` for a launcher that should end well, or refuse the file that is named."""
  if "Traceback" in ended.err or ended.status not in (0, 2):
    return TRACEBACK
  if ended.status == 2:
    return SURVIVED if ended.refused and named in ended.err else TRACEBACK
  if same():
    return SURVIVED
  return LOST if named and ended.warned(named) else WRONG


class Hang(BaseException):
  """A call took too long; no handler of an ordinary exception may take it for another error."""


@contextlib.contextmanager
def time_limit(seconds: float):
  """Raises `Hang` in a block that takes longer."""

  def ring(*_):
    raise Hang(f"longer than {seconds} s")

  previous = signal.signal(signal.SIGALRM, ring)
  signal.setitimer(signal.ITIMER_REAL, seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def launched(launcher, *arguments: str, seconds: float = 60) -> Ended:
  """Runs a launcher in this process."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      with time_limit(seconds):
        status = launch(launcher, *arguments)
    except (Exception, Hang):
      traceback.print_exc()
      status = 1
  return Ended(status, out.getvalue(), err.getvalue())


def command(launcher: str, workdir: object, *arguments: str) -> list[str]:
  """The command line of a tiny run or sweep; arguments that stand in TINY are replaced."""
  names = {argument.split("=")[0] for argument in arguments}
  tiny = [argument for argument in TINY if argument.split("=")[0] not in names]
  module = ["-m", f"experiments.{launcher}"]
  return [sys.executable, *module, *tiny, f"--workdir={workdir}", *arguments]


def environment(**changes: str | None) -> dict[str, str]:
  """This process's environment for one of its own, with compiled programs; None removes a name."""
  ours = {
    "PYTHONPATH": str(ROOT),
    "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
  }
  merged = os.environ | ours | changes
  return {name: value for name, value in merged.items() if value is not None}


def begin(line: list[str], env: dict[str, str] | None = None, **options) -> subprocess.Popen:
  """Starts a process in the root of the repository."""
  options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
  return subprocess.Popen(line, env=env or environment(), **options)


def end(process: subprocess.Popen, seconds: float = 240) -> Ended:
  """Waits for a process; one that hangs is killed, and its status says so."""
  try:
    out, err = process.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    process.kill()
    out, err = process.communicate()
    err = (err or b"") + b"\nTraceback of a process that hung"
  texts = [(text or b"").decode(errors="replace") for text in (out, err)]
  return Ended(process.returncode, *texts)


def wait_until(process: subprocess.Popen, seen: Callable[[], bool], seconds: float = 60) -> None:
  """Waits until something is seen, the process ends, or the time is up."""
  last = time.monotonic() + seconds
  while process.poll() is None and time.monotonic() < last and not seen():
    time.sleep(2e-4)


def saved(path: pathlib.Path) -> set[str]:
  """The whole checkpoints of a run, or of a sweep's group and members."""
  return {folder for folder, _, files in os.walk(path) if "digest.json" in files}


def is_saving(path: pathlib.Path) -> bool:
  """Whether a file, or a checkpoint, is being written in a run folder at this moment."""
  for folder, _, files in os.walk(path):  # Unlike glob, it passes over what has just gone.
    if any(file.endswith(".partial") for file in files):
      return True
    if os.path.basename(os.path.dirname(folder)) == "checkpoints" and "digest.json" not in files:
      return True
  return False


def same_run(path: pathlib.Path, whole: pathlib.Path) -> bool:
  """Whether a run has the numbers, pictures and state of another."""
  try:
    own, there = results(path), results(whole)
    return final_state(path) == final_state(whole) and own | there == own
  except (IndexError, OSError):
    return False


def contents(folder: pathlib.Path) -> dict[str, str]:
  """A digest of every file in a folder, and where each link leads."""
  found = {}
  for path in sorted(folder.rglob("*")):
    name = str(path.relative_to(folder))
    if path.is_symlink():
      found[name] = f"-> {os.readlink(path)}"
    elif path.is_file():
      found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
      found[name] = "a folder, or nothing to read"
  return found


def instant_claims() -> dict[str, Claim]:
  """Two claims with a picture each, which take no time."""
  picture = Picture("A picture.", b"\x89PNG ours")

  def made(name):
    return Claim(
      lambda lab: Evidence({"value": 1}, [{"what": "a", "value": 1}], [picture]),
      lambda numbers: verdict(True, "seen"),
      name, 1, "Sentence", "Source", "settings", "criterion", {}, {}, {}, {"quick": 1, "full": 1},
    )  # fmt: skip

  return {name: made(name) for name in ("first", "second")}
