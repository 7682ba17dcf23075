"""The host loop, with an engine that counts: nothing is lost, done twice, or otherwise in any end.

What trains is tried elsewhere: here every kill, stop, damage and extension is of folders alone.
"""

import json
import os
import re
import shutil
import signal
import threading

import pytest
from helpers.counting import BAD_STEP, CountingEngine, counting
from helpers.launching import final_state, launch, results, sweep_results, train, train_sweep

from experiments import sample
from experiments import sweep as launcher
from experiments.engine import folder, groups, loop, places
from experiments.host import checkpoints, files
from experiments.host.files import read_lines
from experiments.report import html
from experiments.report.results import read_members
from experiments.spec.datasets import load_dataset

SWEEP = ("--penalty=gp", "--lambda_gp=1,10,100", "--members_at_once=2", "--sample_every=4")


@pytest.fixture(autouse=True)
def _counting():
  with counting():
    yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """An uninterrupted run of 10 steps; to be read only."""
  with counting():
    path = tmp_path_factory.mktemp("finished") / "run"
    assert train(path, "--steps=10") == 0
  return path


@pytest.fixture(scope="module")
def finished_sweep(tmp_path_factory):
  """An uninterrupted sweep of groups of two members and one; to be read only."""
  with counting():
    path = tmp_path_factory.mktemp("finished") / "sweep"
    assert train_sweep(path, *SWEEP, "--steps=5") == 0
  return path


def assert_same_run(path, whole):
  assert final_state(path) == final_state(whole)
  own, there = results(path), results(whole)
  assert {name: own[name] for name in there} == there


class Killed(BaseException):
  """As abrupt as a kill, within this process."""


# What writes, draws or computes: before or after any call of these, a process may be killed.
MOMENTS = [
  (files, "append_line"),
  (files, "write_lines"),
  (files, "write_json"),
  (files.os, "replace"),
  (checkpoints, "save"),
  (checkpoints, "write_json"),
  (checkpoints, "clear_after"),
  (CountingEngine, "chunk"),
  (CountingEngine, "draw"),
  (folder.RunFolder, "save_state"),
  (groups.SweepFolder, "write_group"),
  (groups.SweepFolder, "remove_group"),
]


def kill_at(patch, number):
  """Call `number` of any of MOMENTS is the last thing that happens; -> how many there were."""
  calls = []

  def watch(original):
    def watched(*arguments, **options):
      calls.append(original)
      if len(calls) - 1 == number:
        raise Killed
      return original(*arguments, **options)

    return watched

  for module, name in MOMENTS:
    patch.setattr(module, name, watch(getattr(module, name)))
  return calls


def count_moments(command, path, *arguments):
  with pytest.MonkeyPatch.context() as patch:
    calls = kill_at(patch, -1)
    assert command(path, *arguments) == 0
  return len(calls)


def kill_everywhere(command, tmp_path, arguments, every, assert_same, whole):
  n = count_moments(command, tmp_path / "counted", *arguments)
  assert n > 20
  for number in range(0, n, every):
    path = tmp_path / str(number)
    with pytest.MonkeyPatch.context() as patch:
      kill_at(patch, number)
      with pytest.raises(Killed):
        command(path, *arguments)
    assert command(path, *arguments) == 0, number
    assert_same(path, whole)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.campaign)])
def test_a_run_killed_anywhere_and_resumed_equals_uninterrupted(finished, tmp_path, every):
  kill_everywhere(train, tmp_path, ["--steps=10"], every, assert_same_run, finished)


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.campaign)])
def test_a_sweep_killed_anywhere_and_resumed_equals_uninterrupted(finished_sweep, tmp_path, every):
  def assert_same(path, whole):
    assert sweep_results(path) == sweep_results(whole)
    assert not (path / "group").exists()

  kill_everywhere(train_sweep, tmp_path, [*SWEEP, "--steps=5"], every, assert_same, finished_sweep)


def test_a_run_killed_again_and_again_equals_uninterrupted(finished, tmp_path):
  """Each start lasts a little longer than the last got, and a line is torn each time."""
  path = tmp_path / "run"
  for number in range(12, 200, 7):
    with pytest.MonkeyPatch.context() as patch:
      kill_at(patch, number)
      try:
        train(path, "--steps=10")
      except Killed:
        with (path / "metrics.jsonl").open("a") as file:
          file.write('{"step": 9, "wasserst')
      else:
        break
  else:
    raise AssertionError("the run never ended")
  assert_same_run(path, finished)


@pytest.mark.parametrize("stop", range(1, 10))
def test_extended_equals_uninterrupted(finished, tmp_path, stop):
  """Ended at any step, on a boundary or not, and extended: the same state, metrics and pictures."""
  assert train(tmp_path / "run", f"--steps={stop}") == 0
  assert train(tmp_path / "run", "--steps=10") == 0
  assert_same_run(tmp_path / "run", finished)


def stop_before(patch, number, which=signal.SIGTERM):
  """A signal comes in the chunk `number`."""
  chunk, calls = CountingEngine.chunk, []

  def signalled(self, members, n_steps):
    calls.append(n_steps)
    if len(calls) == number:
      signal.raise_signal(which)
    return chunk(self, members, n_steps)

  patch.setattr(CountingEngine, "chunk", signalled)


@pytest.mark.parametrize("number", [1, 4, 6])
def test_a_stop_signal_saves_and_the_same_command_goes_on(finished, tmp_path, capsys, number):
  path = tmp_path / "run"
  with pytest.MonkeyPatch.context() as patch:
    stop_before(patch, number)
    assert train(path, "--steps=10") == 128 + signal.SIGTERM
  step = checkpoints.steps(path / "checkpoints")[-1]
  assert f"stopped at step {step}, saved" in capsys.readouterr().err
  assert json.loads((path / "summary.json").read_text()) == {"status": "stopped", "steps": step}
  assert train(path, "--steps=10") == 0
  assert_same_run(path, finished)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_sweep_stopped_by_a_signal_goes_on(finished_sweep, tmp_path, capsys, number):
  path = tmp_path / "sweep"
  with pytest.MonkeyPatch.context() as patch:
    stop_before(patch, number)
    assert train_sweep(path, *SWEEP, "--steps=5") == 128 + signal.SIGTERM
  assert "the same command goes on" in capsys.readouterr().err
  assert train_sweep(path, *SWEEP, "--steps=5") == 0
  assert sweep_results(path) == sweep_results(finished_sweep)


def test_stopped_where_fewer_steps_are_asked_for_is_whole(tmp_path):
  """Stopped off every boundary, then asked for just those steps: what is missing is made."""
  with pytest.MonkeyPatch.context() as patch:
    stop_before(patch, 1, signal.SIGINT)
    assert train(tmp_path / "stopped", "--steps=10") == 128 + signal.SIGINT
  assert train(tmp_path / "stopped", "--steps=2") == 0
  assert train(tmp_path / "whole", "--steps=2") == 0
  assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_other_intervals_do_not_change_the_state(finished, tmp_path):
  assert train(tmp_path / "run", "--steps=5") == 0
  # The line at step 9 is the last whole one in both runs, so that the pending rows agree as well.
  others = ["--log_every=9", "--sample_every=6", "--checkpoint_every=5"]
  assert train(tmp_path / "run", "--steps=10", *others) == 0
  assert final_state(tmp_path / "run") == final_state(finished)


def test_a_line_is_the_mean_over_its_interval(finished, tmp_path):
  """Logged every step, the lines of the same run average to those of every third."""
  assert train(tmp_path / "run", "--steps=10", "--log_every=1") == 0
  each = read_lines(tmp_path / "run" / "metrics.jsonl")
  for row in read_lines(finished / "metrics.jsonl"):
    interval = each[(row["step"] - 1) // 3 * 3 : row["step"]]
    mean = sum(line["critic_loss"] for line in interval) / len(interval)
    assert row["critic_loss"] == pytest.approx(mean)
    # What is measured at the end of an interval is of its end.
    assert row["sliced_wasserstein"] == interval[-1]["sliced_wasserstein"]


def test_slow_measures_stand_in_the_lines_that_are_asked_for(tmp_path):
  arguments = ["--dataset=ring", "--penalty=gp", "--steps=8", "--log_every=2", "--exact_every=4"]
  assert train_sweep(tmp_path / "sweep", *arguments) == 0
  (member,) = (tmp_path / "sweep" / "members").iterdir()
  slow = [
    line["step"] for line in read_lines(member / "metrics.jsonl") if "exact_wasserstein" in line
  ]
  assert slow == [4, 8]


def test_lost_metrics_are_reported(finished, tmp_path, capsys):
  assert train(tmp_path / "run", "--steps=6") == 0
  (tmp_path / "run" / "metrics.jsonl").unlink()
  assert train(tmp_path / "run", "--steps=10") == 0
  assert "metrics.jsonl lacks lines, 2 were written: they are lost" in capsys.readouterr().err
  assert final_state(tmp_path / "run") == final_state(finished)


def test_a_finished_run_is_left_as_it_is(finished, capsys):
  before = results(finished)
  assert train(finished, "--steps=10") == 0
  assert train(finished, "--steps=7") == 0
  assert "--steps=7 asks for nothing more" in capsys.readouterr().out
  assert results(finished) == before


def test_a_start_that_is_refused_leaves_the_record_of_the_end(finished, tmp_path, capsys):
  path = tmp_path / "run"
  shutil.copytree(finished, path)
  (path / "metrics.jsonl").write_text('{"step": 2}\nno JSON\n')
  assert train(path, "--steps=20") == 2
  assert "metrics.jsonl: damaged" in capsys.readouterr().err
  assert (path / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()


def flip(path):
  """Flips one bit in the middle of a file."""
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def arrays(checkpoint):
  """The files that hold a checkpoint's arrays, largest first."""
  found = [path for path in (checkpoint / "state").rglob("*") if path.is_file()]
  return sorted(found, key=lambda path: path.stat().st_size, reverse=True)


@pytest.mark.parametrize(
  "damage", ["flipped", "truncated", "digest", "pending", "unfinished", "empty"]
)
def test_a_damaged_checkpoint_is_passed_over_and_reported(finished, tmp_path, capsys, damage):
  assert train(tmp_path / "run", "--steps=6") == 0
  newest = tmp_path / "run" / "checkpoints" / "6"
  if damage == "flipped":
    flip(arrays(newest)[0])
  elif damage == "truncated":
    os.truncate(arrays(newest)[0], 10)
  elif damage == "digest":
    digests = newest / "digest.json"
    digests.write_text(digests.read_text().replace('"state": "', '"state": "0'))
  elif damage == "pending":
    digests = newest / "digest.json"
    digests.write_text(digests.read_text().replace('"pending": []', '"pending": [{}]'))
  elif damage == "unfinished":
    (newest / "digest.json").unlink()
  else:
    for path in [path for path in newest.rglob("*") if path.is_file()]:
      path.unlink()
  capsys.readouterr()
  assert train(tmp_path / "run", "--steps=10") == 0
  printed = capsys.readouterr()
  # A checkpoint without digests is one whose saving was cut short: no damage, and no word.
  assert (f"warning: {newest}" in printed.err) == (damage not in ("unfinished", "empty"))
  assert "resumed at step 4 of 10" in printed.out
  # What is damaged is set aside, what was cut short is gone, and step 6 was saved again, whole.
  set_aside = list(newest.parent.glob("damaged-6-*"))
  assert len(set_aside) == (damage not in ("unfinished", "empty"))
  assert checkpoints.steps(newest.parent) == [6, 8, 10]
  assert_same_run(tmp_path / "run", finished)


def test_no_checkpoint_that_verifies_is_an_error(tmp_path, capsys):
  assert train(tmp_path / "run", "--steps=2") == 0
  flip(arrays(tmp_path / "run" / "checkpoints" / "2")[0])
  assert train(tmp_path / "run", "--steps=4") == 2
  assert "none of the 1 checkpoints verifies" in capsys.readouterr().err
  assert checkpoints.steps(tmp_path / "run" / "checkpoints") == [2]


def test_divergence_ends_the_run_and_keeps_its_last_finite_state(tmp_path, capsys):
  path, arguments = tmp_path / "run", ("--steps=10", "--seed=7", "--learning_rate=10")
  for _ in range(2):  # It diverges again where it did.
    assert train(path, *arguments) == 3
    error = capsys.readouterr().err
    assert f"non-finite at step {BAD_STEP}" in error
    assert f"--seed=7 --steps={BAD_STEP}" in error
    assert f"the last good checkpoint is step {BAD_STEP - 1}" in error
    assert checkpoints.steps(path / "checkpoints") == [2, BAD_STEP - 1]
    summary = json.loads((path / "summary.json").read_text())
    assert summary.pop("logged")["n"] == 1
    assert summary == {"status": "diverged", "first_bad_step": BAD_STEP}
    assert [line["step"] for line in read_lines(path / "metrics.jsonl")] == [3]


def test_a_diverged_member_leaves_its_neighbours_bytes_alone(tmp_path, capsys):
  common = ("--penalty=gp", "--steps=7", "--log_every=1")
  both, alone = tmp_path / "both", tmp_path / "alone"
  assert train_sweep(both, "--learning_rate=1e-4,10", *common) == 0
  printed = capsys.readouterr()
  assert f"diverged: a loss or a parameter turned non-finite at step {BAD_STEP}" in printed.err
  assert "1 of them diverged" in printed.out
  assert train_sweep(alone, "--learning_rate=1e-4", *common) == 0
  (calm,) = (alone / "members").iterdir()
  for file in ("metrics.jsonl", "summary.json", "samples/step_000007.png"):
    assert (both / "members" / calm.name / file).read_bytes() == (calm / file).read_bytes()
  (folder,) = [path for path in (both / "members").iterdir() if path.name != calm.name]
  summary = json.loads((folder / "summary.json").read_text())
  assert summary.pop("logged")["n"] == BAD_STEP - 1
  assert summary == {"status": "diverged", "first_bad_step": BAD_STEP}
  assert checkpoints.steps(folder / "checkpoints") == [BAD_STEP - 1]
  assert all(line["step"] < BAD_STEP for line in read_lines(folder / "metrics.jsonl"))
  before = sweep_results(both)
  CountingEngine.calls.clear()
  assert train_sweep(both, "--learning_rate=1e-4,10", *common) == 0
  assert CountingEngine.calls == []  # It is not begun again.
  assert sweep_results(both) == before


def test_where_all_diverge_the_others_groups_go_on(tmp_path):
  path = tmp_path / "sweep"
  method = ("--penalty=gp", "--learning_rate=10,1e-4", "--members_at_once=1", "--steps=9")
  assert train_sweep(path, *method) == 0
  # Chunks end at 2, 3, 4, 6, 7, 8 and 9; the first group ends where it diverged.
  assert [n for _, n in CountingEngine.calls] == [2, 1, 1, 2, 2, 1, 1, 2, 1, 1, 1]


def test_more_values_and_seeds_leave_what_is_there_alone(tmp_path):
  path = tmp_path / "sweep"
  assert train_sweep(path, "--penalty=gp", "--lambda_gp=1,10", "--steps=4") == 0
  before = {k: v for k, v in sweep_results(path).items() if k.startswith("members")}
  CountingEngine.calls.clear()
  more = ["--penalty=gp,clip", "--lambda_gp=1,3,10", "--seeds=2", "--steps=4"]
  assert train_sweep(path, *more) == 0
  after = sweep_results(path)
  assert {name: after[name] for name in before} == before
  # Four members of the penalty and two of clipping, two steps at a time with the line's boundary.
  assert sorted(n for n, _ in CountingEngine.calls) == [2] * 3 + [4] * 3
  CountingEngine.calls.clear()
  assert train_sweep(path, *more) == 0
  assert CountingEngine.calls == []


@pytest.mark.parametrize("fewer", [1, 3, 4])
def test_a_longer_sweep_equals_uninterrupted(finished_sweep, tmp_path, fewer):
  path = tmp_path / "sweep"
  assert train_sweep(path, *SWEEP, f"--steps={fewer}") == 0
  assert train_sweep(path, *SWEEP, "--steps=5") == 0
  for member in (finished_sweep / "members").iterdir():
    for file in ("metrics.jsonl", "summary.json", "samples/step_000005.png"):
      own = path / "members" / member.name / file
      assert own.read_bytes() == (member / file).read_bytes()
    assert final_state(path / "members" / member.name) == final_state(member)
  assert (path / "results.csv").read_bytes() == (finished_sweep / "results.csv").read_bytes()


def test_fewer_at_once_is_obeyed_where_a_group_has_only_begun(tmp_path):
  """As after running out of memory, before the first checkpoint."""
  path, arguments = tmp_path / "sweep", ("--penalty=gp", "--seeds=4", "--steps=2")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(checkpoints, "save", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
      train_sweep(path, *arguments)
  CountingEngine.calls.clear()
  assert train_sweep(path, *arguments, "--members_at_once=2") == 0
  assert CountingEngine.calls == [(2, 2)] * 2


def test_a_damaged_member_is_named_and_can_be_trained_again(tmp_path, capsys):
  path, method = tmp_path / "sweep", ("--penalty=gp", "--lambda_gp=1,10")
  assert train_sweep(path, *method, "--steps=3") == 0
  member, other = sorted((path / "members").iterdir())
  flip(arrays(member / "checkpoints" / "3")[0])
  assert train_sweep(path, *method, "--steps=5") == 2
  assert f"remove {member} to train this member from the start" in capsys.readouterr().err
  shutil.rmtree(member)
  assert train_sweep(path, *method, "--steps=5") == 0
  assert train_sweep(tmp_path / "whole", *method, "--steps=5") == 0
  assert (path / "results.csv").read_bytes() == (tmp_path / "whole/results.csv").read_bytes()
  assert checkpoints.steps(other / "checkpoints") == [3, 5]  # It went on from where it was.


def test_a_full_disk_loses_nothing(finished, tmp_path, capsys):
  """No room for a checkpoint: one line, and with room the same command goes on."""
  path, save = tmp_path / "run", checkpoints._manager
  with pytest.MonkeyPatch.context() as patch:
    calls = []

    def full(directory):
      calls.append(directory)
      if len(calls) > 3:
        raise OSError(28, "No space left on device")
      return save(directory)

    patch.setattr(checkpoints, "_manager", full)
    assert train(path, "--steps=10") == 2
  error = capsys.readouterr().err
  assert re.search(r"the checkpoint of step \d cannot be saved: is the disk full", error)
  assert error.count("error: ") == 1
  assert train(path, "--steps=10") == 0
  assert_same_run(path, finished)


def test_curves_that_are_slow_to_draw_are_drawn_at_first_and_at_the_end(tmp_path, monkeypatch):
  steps = []
  monkeypatch.setattr(places, "_CURVES_SHARE", 1e-9)
  monkeypatch.setattr(
    "experiments.figures.curves.draw_curves", lambda path, rows, title: steps.append(len(rows))
  )
  arguments = ("--steps=8", "--sample_every=2", "--log_every=2", "--checkpoint_every=8")
  assert train(tmp_path / "run", *arguments) == 0
  assert steps == [1, 4]


def test_each_data_seed_has_its_own_data(tmp_path, monkeypatch):
  """The engine of a member gets the data of its own options, not those of the first member."""
  seen = {}
  original = CountingEngine.__init__

  def watched(self, runs, dataset, *arguments, **options):
    seen[runs[0].data_seed] = dataset.true_wasserstein
    original(self, runs, dataset, *arguments, **options)

  monkeypatch.setattr(CountingEngine, "__init__", watched)
  choices = ("--dataset=funnels", "--penalty=gp", "--data_seed=0,1", "--n_funnels=2", "--steps=2")
  flags = [*choices, "--width=4", "--batch_size=4", "--log_every=2", "--members_at_once=4"]
  assert launch(launcher, *flags, f"--workdir={tmp_path}/sweep") == 0
  assert seen == {
    seed: load_dataset("funnels", n_funnels=2, data_seed=seed).true_wasserstein for seed in (0, 1)
  }
  assert len(set(seen.values())) == 2


def test_a_sweep_extended_and_stopped_has_unfinished_members(finished_sweep, tmp_path):
  path = tmp_path / "sweep"
  shutil.copytree(finished_sweep, path)
  with pytest.MonkeyPatch.context() as patch:
    stop_before(patch, 3)  # Within the second group of two.
    assert train_sweep(path, *SWEEP, "--steps=8") == 128 + signal.SIGTERM
  members = read_members(groups.SweepFolder(path))
  assert [member.status for member in members] == ["finished", "finished", "unfinished"]
  assert members[2].end == {}


def test_slow_lines_at_other_steps_are_refused(finished_sweep, tmp_path, capsys):
  assert train_sweep(finished_sweep, *SWEEP, "--steps=5", "--exact_every=3") == 2
  assert "--slow_every=3, but the sweep in" in capsys.readouterr().err


def test_fewer_steps_leave_the_record_alone(finished):
  before = (finished / "config.json").read_bytes()
  assert train(finished, "--steps=7") == 0
  assert (finished / "config.json").read_bytes() == before


def test_a_run_that_diverges_in_its_first_step_says_so(tmp_path, capsys, monkeypatch):
  pytest.importorskip("tensorboardX")
  monkeypatch.setattr("helpers.counting.BAD_STEP", 1)
  path = tmp_path / "run"
  assert train(path, "--steps=10", "--learning_rate=10", "--tensorboard") == 3
  assert "diverged: a loss or a parameter turned non-finite at step 1" in capsys.readouterr().err
  assert json.loads((path / "summary.json").read_text())["first_bad_step"] == 1


def test_the_time_of_a_members_step_is_in_the_report(finished_sweep):
  (times,) = html._times(groups.SweepFolder(finished_sweep)).values()
  assert times["steps"] == 3 * 5


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_schedulers_warning_is_a_signal_to_stop(tmp_path, monkeypatch, number):
  with monkeypatch.context() as patch:
    stop_before(patch, 2, number)
    assert train(tmp_path / "run", "--steps=10") == 128 + number
  assert checkpoints.steps(tmp_path / "run" / "checkpoints")


def test_a_run_in_another_thread_goes_without_signals(finished, tmp_path):
  ended = []
  thread = threading.Thread(target=lambda: ended.append(train(tmp_path / "run", "--steps=10")))
  thread.start()
  thread.join()
  assert ended == [0]
  assert_same_run(tmp_path / "run", finished)


def test_a_chunk_takes_seconds_however_rarely_one_logs(finished, tmp_path, monkeypatch):
  """Two seconds a step, by a clock that only steps move; the numbers are those of any chunks."""
  now = [0.0]
  monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
  chunk = CountingEngine.chunk

  def timed(self, members, n_steps):
    now[0] += 2 * n_steps
    return chunk(self, members, n_steps)

  monkeypatch.setattr(CountingEngine, "chunk", timed)
  monkeypatch.setattr(loop, "_FIRST_CHUNK", 3)
  every = ["--log_every=1000", "--checkpoint_every=1000", "--sample_every=1000"]
  assert train(tmp_path / "run", "--steps=10", *every) == 0
  assert [steps for _, steps in CountingEngine.calls] == [3, 2, 2, 2, 1]
  # But for the rows that wait for their line.
  assert final_state(tmp_path / "run")[:2] == final_state(finished)[:2]


def test_folders_of_others_among_the_checkpoints_stay(finished, tmp_path, capsys):
  run = shutil.copytree(finished, tmp_path / "run")
  note = run / "checkpoints" / "55" / "notes.txt"
  note.parent.mkdir()
  note.write_text("mine")
  assert train(run, "--steps=12") == 2
  assert "checkpoints/55 is no checkpoint: move it elsewhere" in capsys.readouterr().err
  assert note.read_text() == "mine"
  shutil.rmtree(note.parent)
  years = tmp_path / "years"
  (run / "checkpoints").rename(years)
  (run / "checkpoints").symlink_to(years)
  held = sorted(years.rglob("*"))
  assert train(run, "--steps=12") == 2
  assert "checkpoints is a link" in capsys.readouterr().err
  assert sorted(years.rglob("*")) == held


def test_a_start_without_its_checkpoints_keeps_the_record(finished, tmp_path, capsys):
  run = shutil.copytree(finished, tmp_path / "run")
  lines = (run / "metrics.jsonl").read_bytes()
  shutil.rmtree(run / "checkpoints")
  assert train(run, "--steps=10") == 0
  (kept,) = run.glob("metrics-*.jsonl")
  assert kept.read_bytes() == lines
  assert f"its lines are kept as {kept.name}" in capsys.readouterr().err


def test_a_picture_that_fails_costs_a_picture(finished, tmp_path, capsys, monkeypatch):
  def fail(*_):
    raise RuntimeError("no backend")

  monkeypatch.setattr(CountingEngine, "draw", fail)
  assert train(tmp_path / "run", "--steps=10") == 0
  assert "warning: a picture was not drawn: no backend" in capsys.readouterr().err
  assert final_state(tmp_path / "run") == final_state(finished)


def test_a_lock_that_leads_elsewhere_is_refused(finished, tmp_path, capsys):
  run = shutil.copytree(finished, tmp_path / "run")
  precious = tmp_path / "precious"
  precious.write_text("mine")
  (run / ".lock").unlink()
  for make in (lambda lock: lock.symlink_to(precious), os.mkfifo):
    make(run / ".lock")
    assert train(run, "--steps=12") == 2
    assert "cannot be written" in capsys.readouterr().err
    (run / ".lock").unlink()
  assert precious.read_text() == "mine"


def test_a_url_is_no_folder(capsys):
  assert train("gs://bucket/run") == 2
  assert "--workdir=gs://bucket/run is a URL: name a local path" in capsys.readouterr().err


def test_a_config_of_other_shapes_is_named_and_nothing_is_advised_away(finished, tmp_path, capfd):
  run = shutil.copytree(finished, tmp_path / "run")
  config = json.loads((run / "config.json").read_text())
  config["settings"]["width"] += 1
  (run / "config.json").write_text(json.dumps(config))
  assert launch(sample, f"--workdir={run}") == 2
  (line,) = capfd.readouterr().err.splitlines()
  assert "of other shapes than" in line
  assert "config.json says: restore that file" in line
