"""Other people's environments: variables, streams, folders. They change nothing, or say so."""

import shutil
import subprocess
import sys

import pytest
from helpers.attacking import (
  LOST,
  ROOT,
  TRACEBACK,
  begin,
  command,
  end,
  environment,
  judge,
  same_run,
)

pytestmark = pytest.mark.campaign

RUN = ("--steps=14",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  path = tmp_path_factory.mktemp("whole") / "run"
  assert end(begin(command("mnist", path, *RUN))).status == 0
  return path


HARMLESS = {
  "a notebook": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
  "no such backend": {"MPLBACKEND": "zzz"},
  "ascii": {"PYTHONIOENCODING": "ascii"},
  "latin-1": {"PYTHONIOENCODING": "latin-1"},
  "the C locale": {"LANG": "C", "LC_ALL": "C"},
  "no home": {"HOME": None, "XDG_CACHE_HOME": None},
  "a home that is none": {"HOME": "/dev/null", "XDG_CACHE_HOME": None},
  "a relative cache": {"XDG_CACHE_HOME": "cache"},
  "a terminal that is none": {"TERM": None, "COLUMNS": "0", "LINES": "x"},
  "one thread": {"OMP_NUM_THREADS": "1"},
  "unbuffered": {"PYTHONUNBUFFERED": "1"},
  "optimised": {"PYTHONOPTIMIZE": "2"},
  "no bytecode": {"PYTHONDONTWRITEBYTECODE": "1"},
  "developing": {"PYTHONDEVMODE": "1"},
  "another zone": {"TZ": "Pacific/Kiritimati"},
  "no temporary folder": {"TMPDIR": "/nowhere"},
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_setting_changes_nothing(counted, whole, tmp_path, name):
  path = tmp_path / "läufe" / "run"
  with counted("environments") as tally:
    ended = end(begin(command("mnist", path, *RUN), environment(**HARMLESS[name])))
    word = judge(ended, lambda: same_run(path, whole))
    tally.add(word if ended.status == 0 else TRACEBACK, name, ended.err)


STREAMS = {
  "stdout closed": ">&-",
  "stderr closed": "2>&-",
  "both closed": ">&- 2>&-",
  "stdin closed": "<&-",
  "a full stdout": "> /dev/full",
  "a full stderr": "2> /dev/full",
  "a reader that goes": "2>&1 | head -1",
}


@pytest.mark.parametrize("name", STREAMS)
def test_output_that_cannot_be_written_ends_no_run(counted, whole, tmp_path, name):
  path = tmp_path / "run"
  line = ["sh", "-c", f'"$@" {STREAMS[name]}', "sh", *command("mnist", path, *RUN)]
  with counted("environments") as tally:
    ended = end(begin(line))
    word = judge(ended, lambda: same_run(path, whole))
    tally.add(word if ended.status == 0 else LOST, name, ended)


# Those that change the numbers, or cannot be obeyed: a run may not go on silently.
OTHERS = {
  "another generator": {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
  "another layout of its bits": {"JAX_THREEFRY_PARTITIONABLE": "0"},
  "64 bits": {"JAX_ENABLE_X64": "1"},
  "no such precision": {"JAX_DEFAULT_MATMUL_PRECISION": "zzz"},
  "another precision": {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"},
  "no such platform": {"JAX_PLATFORMS": "zzz"},
  "no number": {"JAX_ENABLE_X64": "zzz"},
  "another format of flags": {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_run_goes_on_elsewhere_as_it_was_or_with_a_word(counted, whole, tmp_path, name):
  path = tmp_path / "run"
  assert end(begin(command("mnist", path, "--steps=7"))).status == 0
  with counted("environments, on resume") as tally:
    ended = end(begin(command("mnist", path, *RUN), environment(**OTHERS[name])))
    word = judge(ended, lambda: same_run(path, whole) or "changed since the run" in ended.err)
    tally.add(word, name, ended.err)
    if ended.status == 2:  # Nothing is lost by a refusal.
      again = end(begin(command("mnist", path, *RUN)))
      tally.add(judge(again, lambda: same_run(path, whole)), f"after {name}", again.err)


def test_a_run_starts_from_anywhere(counted, whole, tmp_path):
  with counted("environments") as tally:
    ended = end(begin(command("mnist", "run", *RUN), cwd=tmp_path))
    word = judge(ended, lambda: same_run(tmp_path / "run", whole))
    tally.add(word, "another current folder", ended.err)
    script = [sys.executable, str(ROOT / "experiments" / "mnist.py")]
    _, _, _, *arguments = command("mnist", tmp_path / "script", *RUN)
    ended = end(begin([*script, *arguments], environment(PYTHONPATH=None), cwd=tmp_path))
    word = judge(ended, lambda: same_run(tmp_path / "script", whole))
    tally.add(word, "as a script", ended.err)
    gone = tmp_path / "gone"
    gone.mkdir()
    line = ["sh", "-c", f'rmdir "{gone}"; "$@"', "sh", *command("mnist", tmp_path / "new", *RUN)]
    ended = end(begin(line, cwd=gone))
    word = judge(ended, lambda: same_run(tmp_path / "new", whole))
    tally.add(word, "a current folder that is gone", ended.err)


def test_a_user_without_a_name_can_train(counted, whole, tmp_path):
  """As in a container: a number that no list of users has, and no home."""
  path = tmp_path / "run"
  line = ["unshare", "-U", "--map-user=12345", "--map-group=12345"]
  if not shutil.which("unshare") or subprocess.run([*line, "true"], check=False).returncode:
    pytest.skip("no other user can be had here")
  with counted("environments") as tally:
    env = environment(HOME=None, XDG_CACHE_HOME=None)
    ended = end(begin([*line, *command("mnist", path, *RUN)], env))
    tally.add(judge(ended, lambda: same_run(path, whole)), "no name", ended.err)
