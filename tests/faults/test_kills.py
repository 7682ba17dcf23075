"""SIGKILL at random moments, most of them within a save, and two runs in one folder at once."""

import random
import signal
import sys
import time

import pytest
from helpers.attacking import (
  LOST,
  SURVIVED,
  TRACEBACK,
  begin,
  command,
  contents,
  end,
  is_saving,
  judge,
  same_run,
  saved,
  wait_until,
)
from helpers.launching import sweep_results

pytestmark = pytest.mark.campaign

RUN = ("--steps=80", "--checkpoint_every=1")  # Saving takes most of its time.
SWEEP = (
  "--penalty=clip,gp",
  "--lambda_gp=1,10",
  "--steps=20",
  "--members_at_once=2",
  "--batching=map",
  "--checkpoint_every=1",
)
KILLS = 5  # In the life of one run.


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """-> by launcher, its folder after no disturbance."""
  folder = tmp_path_factory.mktemp("whole")
  for launcher, arguments in [("mnist", RUN), ("sweep", SWEEP)]:
    assert end(begin(command(launcher, folder / launcher, *arguments))).status == 0
  return folder


def strike(process, path, rng):
  """Kills a process; -> whether it was still there.

  At any moment; or after its first save since it started, a little later or within another save.
  """
  before = saved(path)
  if rng.random() < 1 / 3:
    time.sleep(rng.uniform(0, 5))
  else:
    wait_until(process, lambda: saved(path) != before)
    time.sleep(rng.uniform(0, 0.4))
    if rng.random() < 2 / 3:
      wait_until(process, lambda: is_saving(path))
      time.sleep(rng.choice([0, rng.uniform(0, 0.02)]))
  process.kill()
  return process.wait() == -signal.SIGKILL


def kill_and_go_on(tally, path, line, seed, same):
  rng, n_kills = random.Random(seed), 0
  for _ in range(KILLS):
    with begin(line) as process:
      n_kills += strike(process, path, rng)
      ended = end(process)
    if "Traceback" in ended.err:
      tally.add(TRACEBACK, f"seed {seed}, before kill {n_kills}", ended.err)
  ended = end(begin(line))
  word = judge(ended, same) if ended.status != 2 else LOST
  tally.add(word, f"seed {seed}, {n_kills} kills", ended.err, n=n_kills)


@pytest.mark.parametrize("seed", range(10))
def test_a_run_killed_at_random_moments_equals_undisturbed(counted, whole, tmp_path, seed):
  path = tmp_path / "run"
  with counted("SIGKILL of a run") as tally:
    line = command("mnist", path, *RUN)
    kill_and_go_on(tally, path, line, seed, lambda: same_run(path, whole / "mnist"))


@pytest.mark.parametrize("seed", range(4))
def test_a_sweep_killed_at_random_moments_equals_undisturbed(counted, whole, tmp_path, seed):
  path = tmp_path / "sweep"

  def same():
    return sweep_results(path) == sweep_results(whole / "sweep") and not (path / "group").exists()

  with counted("SIGKILL of a sweep") as tally:
    kill_and_go_on(tally, path, command("sweep", path, *SWEEP), seed, same)


@pytest.mark.parametrize("form", ["a.npz", "pictures"])
def test_samples_killed_at_random_moments_equal_undisturbed(counted, whole, tmp_path, form):
  rng, n_kills = random.Random(form), 0
  line = [sys.executable, "-m", "experiments.sample", f"--workdir={whole / 'mnist'}", "--n=20000"]
  assert end(begin([*line, f"--out={tmp_path / 'whole' / form}"])).status == 0
  line += [f"--out={tmp_path / 'killed' / form}"]
  folder = tmp_path / "killed" / (form if form == "pictures" else "a.npz.partial")
  with counted("SIGKILL of samples") as tally:
    for _ in range(KILLS):
      n_there = len(list(folder.glob("0*")))
      with begin(line) as process:
        wait_until(process, lambda n=n_there: len(list(folder.glob("0*"))) > n)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        n_kills += process.wait() == -signal.SIGKILL
    ended = end(begin(line))
    finished = contents(tmp_path / "whole")
    if ended.refused and "exists" in ended.err:  # It had ended before it was killed.
      ended = ended._replace(status=0)
    word = judge(ended, lambda: contents(tmp_path / "killed") == finished)
    tally.add(word, f"{form}, {n_kills} kills", ended.err, n=max(1, n_kills))


@pytest.mark.parametrize("delay", [0, 0.1, 0.3, 2, 5])
def test_of_two_runs_in_one_folder_one_refuses(counted, whole, tmp_path, delay):
  path = tmp_path / "run"
  with counted("two runs in one folder") as tally:
    first = begin(command("mnist", path, *RUN))
    time.sleep(delay)
    second = begin(command("mnist", path, *RUN))
    both = sorted([end(first), end(second)])
    word = judge(both[0], lambda: same_run(path, whole / "mnist"))
    if word == SURVIVED and not both[1].refused:
      word = TRACEBACK
    tally.add(word, f"{delay} s between the starts", [each.err[-700:] for each in both])
