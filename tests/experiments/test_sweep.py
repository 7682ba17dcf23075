"""`experiments.sweep`: members are runs, nothing is done twice, and nothing is lost."""

import csv
import errno
import json
import os
import shutil
import signal

import numpy as np
import pytest
from helpers.launching import draw, launch, sweep_results, train, train_sweep

from experiments import sweep
from experiments.engine import batching, program, sweep_loop
from experiments.engine.batching import Batching
from experiments.engine.sweep_folder import SweepFolder
from experiments.host import checkpoints, files
from experiments.report.tables import mean_interval


def read_csv(folder):
  with (folder / "results.csv").open() as file:
    return list(csv.DictReader(file))


def read_metrics(folder):
  return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def choose_at_once(runs, images, capacity, *, way, at_once):
  """In place of what compiles and measures, which `test_batching` tests."""
  return Batching(way, at_once or 16, 1e-3, 10**6, len(runs), [way, at_once], "devices")


@pytest.fixture(scope="module", autouse=True)
def _chosen_at_once():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(batching, "choose_batching", choose_at_once)
    yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """Eight members, 11 steps, a line at 3, 6, 9 and 11."""
  path = tmp_path_factory.mktemp("finished") / "sweep"
  assert train_sweep(path, "--steps=11", "--seeds=2") == 0
  return path


def test_results_are_the_members_own(finished):
  rows = read_csv(finished)
  assert len(rows) == 8
  assert [row["clip_value"] for row in rows] == ["0.01"] * 2 + ["0.1"] * 2 + [""] * 4
  assert [row["lambda_gp"] for row in rows] == [""] * 4 + ["1.0"] * 2 + ["10.0"] * 2
  assert [row["seed"] for row in rows] == ["0", "1"] * 4
  for row in rows:
    lines = read_metrics(finished / "members" / row["member"])
    assert [line["step"] for line in lines] == [3, 6, 9, 11]
    assert (row["status"], row["steps"]) == ("finished", "11")
    best = min(lines, key=lambda line: line["sliced_wasserstein"])
    assert int(row["best_step"]) == best["step"]
    for name in ("sliced_wasserstein", "held_out_wasserstein_estimate", "gradient_norm_max"):
      assert float(row[name]) == lines[-1][name]
      assert float(row[f"{name}_at_best"]) == best[name]
  record = json.loads((finished / "results.json").read_text())
  assert [
    {k: "" if v is None else str(v) for k, v in row.items()} for row in record["members"]
  ] == [dict(row) for row in rows]
  first = record["settings"][0]
  values = [float(row["sliced_wasserstein"]) for row in rows[:2]]
  assert first["seeds"] == [0, 1]
  assert first["end"]["sliced_wasserstein"] == mean_interval(values)._asdict()


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "method"),
  [
    ("digits-wasserstein-clip-seed1", ["--penalty=clip"]),
    ("digits-wasserstein-gp-seed0", ["--penalty=gp", "--lambda_gp=1"]),
  ],
)
def test_a_mapped_member_is_the_run_alone_bit_for_bit(finished, tmp_path, name, method):
  (member,) = [
    path
    for path in (finished / "members").iterdir()
    if path.name.startswith(name)
    and ("lambda_gp1" in path.name) == ("--lambda_gp=1" in method)
    and "clip_value" not in path.name
  ]
  alone = tmp_path / "alone"
  assert train(alone, *method, f"--seed={name[-1]}", "--steps=11", "--sample_every=1000") == 0
  assert (alone / "metrics.jsonl").read_bytes() == (member / "metrics.jsonl").read_bytes()
  assert (alone / "summary.json").read_bytes() == (member / "summary.json").read_bytes()
  picture = "samples/step_000011.png"
  assert (alone / picture).read_bytes() == (member / picture).read_bytes()
  digest = "checkpoints/11/digest.json"
  assert (
    json.loads((alone / digest).read_text())["state"]
    == (json.loads((member / digest).read_text())["state"])
  )


def test_a_member_is_a_run_folder(finished, tmp_path):
  """It is sampled from, and goes on alone."""
  member = tmp_path / "member"
  shutil.copytree(finished / "members" / read_csv(finished)[0]["member"], member)
  assert draw(member, "--n=4", f"--out={tmp_path}/grid.png") == 0
  assert train(member, "--penalty=clip", "--steps=14") == 0
  assert [line["step"] for line in read_metrics(member)] == [3, 6, 9, 12, 14]


class Killed(BaseException):
  """As abrupt as a kill, within this process."""


def kill_at(monkeypatch, module, name, number):
  """The call `number` of a function is the last thing that happens."""
  original, calls = getattr(module, name), iter(range(10**6))

  def killing(*args, **kwargs):
    if next(calls) == number:
      raise Killed
    return original(*args, **kwargs)

  monkeypatch.setattr(module, name, killing)


@pytest.mark.slow
def test_killed_anywhere_and_resumed_equals_uninterrupted(tmp_path):
  """Before a line, a checkpoint, a picture or a summary, within groups and between them."""
  moments = [
    (files, "append_line", 3),
    (files, "append_line", 13),
    (checkpoints, "save", 0),
    (checkpoints, "save", 2),
    (checkpoints, "save", 4),  # The first member of a group is handed over, the second not.
    (sweep_loop.plots, "draw_grid", 3),
    (SweepFolder, "write_group", 0),
    (SweepFolder, "write_group", 1),
    (SweepFolder, "remove_group", 0),
    (sweep, "write_results", 0),
  ]
  whole = tmp_path / "whole"
  method = ("--penalty=gp", "--lambda_gp=1,10,100")  # In groups of two members and one.
  arguments = (*method, "--steps=5", "--members_at_once=2", "--sample_every=4")
  assert train_sweep(whole, *arguments) == 0
  for i, (module, name, number) in enumerate(moments):
    path = tmp_path / str(i)
    with pytest.MonkeyPatch.context() as patch:
      kill_at(patch, module, name, number)
      with pytest.raises(Killed):
        train_sweep(path, *arguments)
    assert train_sweep(path, *arguments) == 0
    assert sweep_results(path) == sweep_results(whole), (name, number)
    assert not (path / "group").exists()


@pytest.mark.slow
def test_a_signal_saves_and_the_same_command_goes_on(finished, tmp_path, monkeypatch, capsys):
  chunk = program.MembersProgram.chunk

  def signalled(self, members, n_steps):
    os.kill(os.getpid(), signal.SIGTERM)
    return chunk(self, members, n_steps)

  path = tmp_path / "sweep"
  with monkeypatch.context() as patch:
    patch.setattr(program.MembersProgram, "chunk", signalled)
    assert train_sweep(path, "--steps=11", "--seeds=2") == 128 + signal.SIGTERM
  assert "stopped at step 2 of a group, saved" in capsys.readouterr().err
  assert {row["status"] for row in read_csv(path)} == {"unfinished"}
  assert train_sweep(path, "--steps=11", "--seeds=2") == 0
  assert sweep_results(path) == sweep_results(finished)


@pytest.mark.slow
def test_more_values_and_seeds_leave_what_is_there_alone(tmp_path, monkeypatch):
  path = tmp_path / "sweep"
  few = ["--penalty=gp", "--lambda_gp=1,10", "--steps=4"]
  assert train_sweep(path, *few) == 0
  before = {k: v for k, v in sweep_results(path).items() if k.startswith("members")}
  trained = []
  chunk = program.MembersProgram.chunk

  def counting(self, members, n_steps):
    trained.append(self.n_members)
    return chunk(self, members, n_steps)

  monkeypatch.setattr(program.MembersProgram, "chunk", counting)
  more = ["--penalty=gp,clip", "--lambda_gp=1,3,10", "--seeds=2", "--steps=4"]
  assert train_sweep(path, *more) == 0
  after = sweep_results(path)
  assert {name: after[name] for name in before} == before
  rows = read_csv(path)
  assert len(rows) == 8
  assert {row["status"] for row in rows} == {"finished"}
  # Four members of the penalty and two of clipping, two steps at a time with the line's boundary.
  assert sorted(trained) == [2] * 3 + [4] * 3
  trained.clear()
  assert train_sweep(path, *more) == 0
  assert trained == []


@pytest.mark.slow
def test_more_steps_equal_uninterrupted(finished, tmp_path):
  """From 4, within an interval of the log, on to 11."""
  path = tmp_path / "sweep"
  assert train_sweep(path, "--steps=4", "--seeds=2") == 0
  assert [line["step"] for line in read_metrics(next((path / "members").iterdir()))] == [3, 4]
  assert train_sweep(path, "--steps=11", "--seeds=2") == 0
  for name in read_csv(finished):
    own, there = path / "members" / name["member"], finished / "members" / name["member"]
    for file in ("metrics.jsonl", "summary.json", "samples/step_000011.png"):
      assert (own / file).read_bytes() == (there / file).read_bytes()
  assert (path / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()


def test_fewer_steps_than_there_are_is_said(finished, capsys):
  assert train_sweep(finished, "--steps=5", "--seeds=2") == 2
  assert "is at step 11 already: --steps=5 asks for less" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("way", ["map", "vmap", "loop"])
def test_a_diverged_member_is_frozen_and_told_and_its_neighbours_go_on(tmp_path, capsys, way):
  """A learning rate at which the parameters overflow, beside one at which they do not."""
  both, alone = tmp_path / "both", tmp_path / "alone"
  common = ("--penalty=gp", "--lambda_gp=1000000", "--width=64", "--steps=6", "--log_every=1")
  method = ("--learning_rate=1e-4,10",)
  assert train_sweep(both, *method, *common, batching=way) == 0
  told = capsys.readouterr()
  rows = read_csv(both)
  assert [row["status"] for row in rows] == ["finished", "diverged"]
  bad = int(rows[1]["steps"]) + 1
  assert 1 < bad < 6
  assert f"turned non-finite at step {bad}" in told.err
  assert "1 of them diverged" in told.out
  assert rows[1]["sliced_wasserstein"] == ""
  folder = both / "members" / rows[1]["member"]
  assert json.loads((folder / "summary.json").read_text()) == {
    "status": "diverged",
    "first_bad_step": bad,
  }
  assert checkpoints.steps(folder / "checkpoints") == [bad - 1]
  digests = json.loads((folder / f"checkpoints/{bad - 1}/digest.json").read_text())
  assert digests["pending"] == []  # Its steps have their lines, and the bad one never gets any.
  assert all(line["step"] < bad for line in read_metrics(folder))
  html = (both / "report.html").read_text()
  assert f"after step {bad - 1}" in html
  # The neighbour has the bits of a sweep in which nothing diverges.
  calm = ("--learning_rate=1e-4,2e-4",)
  assert train_sweep(alone, *calm, *common, batching=way) == 0
  name = rows[0]["member"]
  for file in ("metrics.jsonl", "summary.json", "samples/step_000006.png"):
    assert (both / "members" / name / file).read_bytes() == (
      alone / "members" / name / file
    ).read_bytes()
  # It is not begun again.
  before = sweep_results(both)
  assert train_sweep(both, *method, *common, batching=way) == 0
  assert sweep_results(both) == before


def test_the_plan_is_printed_and_nothing_written(tmp_path, capsys):
  path = tmp_path / "sweep"
  assert train_sweep(path, "--dry_run", "--seeds=3") == 0
  told = capsys.readouterr().out
  assert "12 members" in told
  assert told.count("program digits-wasserstein-") == 2
  assert "6 members, up to 16 at once by map" in told
  assert "GB" in told
  assert "for all steps" in told
  assert not path.exists()


def test_many_members_with_yes_are_planned(tmp_path, capsys):
  arguments = ("--penalty=none", "--seeds=1500", "--yes", "--dry_run")
  assert train_sweep(tmp_path / "sweep", *arguments) == 0
  assert "1500 members" in capsys.readouterr().out


BAD = [
  (["--lambda_gp="], "--lambda_gp=: an empty list"),
  (["--lambda_gp=1,,10"], "--lambda_gp=1,,10: '' in the list"),
  (["--lambda_gp=1,ten,3"], "'ten' in the list"),
  (["--lambda_gp=1,nan"], "'nan' in the list: not a finite number"),
  (["--lambda_gp=1,-1,3"], "'-1' in the list"),
  (["--lambda_gp=1,10,1.0"], "1.0 stands twice"),
  (["--penalty=gp,gp"], "gp stands twice"),
  (["--penalty=gp,spectral"], "'spectral' in the list"),
  (["--width=8,0"], "'0' in the list"),
  (["--penalty=gp", "--clip_value=0.1"], "--clip_value does nothing with --penalty=gp"),
  (["--seeds=0"], "--seeds"),
  (["--seeds=25000"], "100000 members: add --yes"),
  (["--members_at_once=0"], "--members_at_once"),
  (["--members_at_once=4", "--batching=loop"], "--members_at_once does nothing"),
  (["--batching=scan"], "--batching"),
  (["--seed=3"], "seed"),
  (["--report_only", "--dry_run"], "--dry_run does nothing with --report_only"),
  (["--data_dir=/nowhere"], "--data_dir does nothing with digits"),
]


@pytest.mark.parametrize(("arguments", "named"), BAD, ids=lambda value: str(value)[:40])
def test_bad_flags_end_with_one_line(tmp_path, capsys, arguments, named):
  path = tmp_path / "sweep"
  assert train_sweep(path, *arguments) == 2
  error = capsys.readouterr().err
  assert error.count("\n") == 1
  assert error.startswith("error: ")
  assert named in error
  assert not path.exists()


def test_folders_that_cannot_be_used(finished, tmp_path, capsys):
  def refused(*arguments):
    assert train_sweep(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error

  assert "holds another sweep: 4 of its members" in refused(finished, "--steps=11", "--seeds=1")
  assert "-seed1" in refused(finished, "--steps=11", "--seeds=1")
  arguments = ("--steps=11", "--seeds=2", "--log_every=4")
  assert "--log_every=4, but the sweep" in refused(finished, *arguments)
  (tmp_path / "file").touch()
  assert "is a file" in refused(tmp_path / "file")
  assert "holds other files" in refused(tmp_path)
  assert "cannot be written" in refused("/proc/sweep")
  member = finished / "members" / read_csv(finished)[0]["member"]
  assert "of a single run" in refused(member)
  assert launch(sweep, "--report_only") == 2
  assert "--report_only needs --workdir" in capsys.readouterr().err
  assert launch(sweep, "--report_only", f"--workdir={tmp_path}") == 2
  assert "holds no sweep" in capsys.readouterr().err


def test_a_full_disk_while_results_are_written(finished, tmp_path, monkeypatch, capsys):
  path = tmp_path / "sweep"
  shutil.copytree(finished, path)
  before = (path / "results.csv").read_bytes()

  def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

  for module in ("tables", "html"):
    with monkeypatch.context() as patch:
      patch.setattr(f"experiments.report.{module}.write_bytes", full)
      assert launch(sweep, "--report_only", f"--workdir={path}") == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "--report_only" in error
    assert (path / "results.csv").read_bytes() == before
  assert launch(sweep, "--report_only", f"--workdir={path}") == 0
  assert (path / "results.csv").read_bytes() == before


@pytest.mark.slow
def test_vmapped_members_are_near_the_mapped_ones(finished, tmp_path):
  path = tmp_path / "sweep"
  assert train_sweep(path, "--steps=11", "--seeds=2", batching="vmap") == 0
  for mine, theirs in zip(read_csv(path), read_csv(finished), strict=True):
    assert mine["member"] == theirs["member"]
    for name in ("sliced_wasserstein", "held_out_wasserstein_estimate", "gradient_norm_max"):
      np.testing.assert_allclose(float(mine[name]), float(theirs[name]), rtol=1e-3)


@pytest.mark.slow
def test_fewer_at_once_is_obeyed_where_a_group_has_only_begun(tmp_path, monkeypatch):
  """As after running out of memory, before the first checkpoint."""
  path, sizes = tmp_path / "sweep", []
  with monkeypatch.context() as patch:
    kill_at(patch, checkpoints, "save", 0)
    with pytest.raises(Killed):
      train_sweep(path, "--penalty=gp", "--seeds=4", "--steps=2")
  chunk = program.MembersProgram.chunk
  monkeypatch.setattr(
    program.MembersProgram,
    "chunk",
    lambda self, members, n: sizes.append(self.n_members) or chunk(self, members, n),
  )
  assert train_sweep(path, "--penalty=gp", "--seeds=4", "--steps=2", "--members_at_once=2") == 0
  assert sizes == [2, 2]


@pytest.mark.slow
def test_a_damaged_member_is_named_and_can_be_trained_again(tmp_path, capsys):
  path = tmp_path / "sweep"
  method = ("--penalty=gp", "--lambda_gp=1,10")
  assert train_sweep(path, *method, "--steps=3") == 0
  member, other = (path / "members" / row["member"] for row in read_csv(path))
  damaged = next(file for file in (member / "checkpoints/3").rglob("*") if file.stat().st_size > 50)
  damaged.write_bytes(damaged.read_bytes()[:-9])
  capsys.readouterr()
  assert train_sweep(path, *method, "--steps=5") == 2
  assert f"remove {member} to train this member from the start" in capsys.readouterr().err
  shutil.rmtree(member)
  assert train_sweep(path, *method, "--steps=5") == 0
  whole = tmp_path / "whole"
  assert train_sweep(whole, *method, "--steps=5") == 0
  assert (path / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
  assert checkpoints.steps(other / "checkpoints") == [3, 5]  # It went on from where it was.


def test_what_is_refused_leaves_the_sweep_as_it_was(finished, capsys):
  before = (finished / "config.json").read_bytes()
  assert train_sweep(finished, "--steps=5", "--seeds=3") == 2
  assert train_sweep(finished, "--steps=11", "--seeds=3", "--log_every=2") == 2
  assert (finished / "config.json").read_bytes() == before
  assert train_sweep(finished, "--steps=11", "--seeds=2", "--dry_run") == 0


def test_a_report_of_measures_that_are_zero_or_infinite(finished, tmp_path):
  """And of a member whose metrics are lost, and after a torn line of times."""
  path = tmp_path / "sweep"
  shutil.copytree(finished, path)
  values = iter([0.0, 0.0, 5.0, float("inf"), float("nan"), 0.0] * 10)
  for member in sorted((path / "members").iterdir()):
    rows = read_metrics(member)
    for row in rows:
      row["gradient_norm_max"] = next(values)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (member / "metrics.jsonl").write_text(text)
  lost = next((path / "members").iterdir())
  (lost / "metrics.jsonl").unlink()
  with (path / "timing.jsonl").open("a") as file:
    file.write('{"program": ')
  assert launch(sweep, "--report_only", f"--workdir={path}") == 0
  status = {row["member"]: row["status"] for row in read_csv(path)}
  assert status.pop(lost.name) == "unfinished"
  assert set(status.values()) == {"finished"}
  assert train_sweep(path, "--steps=11", "--seeds=2") == 0
  read = (path / "timing.jsonl").read_text().splitlines()
  assert all(json.loads(line) for line in read)
