"""`experiments.sweep`: members are runs, nothing is done twice, and nothing is lost."""

import csv
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.launching import draw, launch, train, train_sweep

from experiments import sweep
from experiments.engine import planning
from experiments.host.files import encode_lines, write_json
from experiments.report.tables import mean_interval


def read_csv(folder):
  with (folder / "results.csv").open() as file:
    return list(csv.DictReader(file))


def read_metrics(folder):
  return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


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


@pytest.mark.parametrize(
  ("name", "method"),
  [
    pytest.param("digits-wasserstein-clip-seed1", ["--penalty=clip"], marks=pytest.mark.campaign),
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


def test_fewer_steps_than_there_are_is_said(finished, capsys):
  assert train_sweep(finished, "--steps=5", "--seeds=2") == 2
  assert "is at step 11 already: --steps=5 asks for less" in capsys.readouterr().err


@pytest.mark.campaign
def test_the_plan_is_printed_and_nothing_written(tmp_path, capsys):
  path = tmp_path / "sweep"
  assert train_sweep(path, "--dry_run", "--seeds=3") == 0
  printed = capsys.readouterr().out
  assert "12 members" in printed
  assert printed.count("program digits-wasserstein-") == 2
  assert "6 members, up to 6 at once by map" in printed
  assert "GB" in printed
  assert "for all steps" in printed
  assert not path.exists()


@pytest.mark.campaign
def test_members_are_laid_over_all_cores(tmp_path):
  """In a process of its own: JAX takes the number of devices once."""
  arguments = ["--dataset=ring", "--width=2", "--dry_run", f"--workdir={tmp_path / 'sweep'}"]
  done = subprocess.run(
    [sys.executable, "-m", "experiments.sweep", *arguments, "--members_at_once=1"],
    env={name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert f"1 members on cpu, {len(os.sched_getaffinity(0))} x cpu" in done.stdout


@pytest.mark.campaign
def test_a_budget_gives_each_program_its_own_steps(tmp_path, monkeypatch, capsys):
  path, arguments = tmp_path / "sweep", ["--penalty=gp", "--width=4,5", "--schedule=linear"]
  arguments.append("--budget_seconds=9")
  own = {4: 1.0, 5: 1.25}
  monkeypatch.setattr(planning.Timed, "seconds", lambda timed: own[timed.engine.runs[0].width])
  assert train_sweep(path, *arguments) == 0
  printed = capsys.readouterr()
  assert "9 steps in 9 s: digits-wasserstein-gp-mlp-width4-" in printed.out
  assert "6 steps in 9 s: digits-wasserstein-gp-mlp-width5-" in printed.out
  assert "step 6/6" in printed.err
  found = [
    (row["width"], row["steps"], row["decay_steps"], row["status"]) for row in read_csv(path)
  ]
  assert found == [("4", "9", "9", "finished"), ("5", "6", "6", "finished")]
  # It is the run alone of so many steps.
  alone = tmp_path / "alone"
  assert train(alone, "--penalty=gp", "--width=5", "--schedule=linear", "--steps=6") == 0
  (member,) = (path / "members").glob("*width5*")
  assert (alone / "metrics.jsonl").read_bytes() == (member / "metrics.jsonl").read_bytes()

  # What was measured is recorded: nothing is measured again.
  monkeypatch.setattr(planning, "Timed", None)
  assert train_sweep(path, *arguments, "--seeds=2") == 0
  assert [row["steps"] for row in read_csv(path)] == ["9", "9", "6", "6"]
  capsys.readouterr()
  for other, named in [
    ("--budget_seconds=8", "--budget_seconds=8, but the sweep in"),
    ("--steps=9", "--budget_seconds=None, but the sweep in"),
  ]:
    assert train_sweep(path, *arguments[:-1], other) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1

  # Steps that a damaged record lacks.
  config = json.loads((path / "config.json").read_text())
  config["flags"]["steps"].popitem()
  (path / "config.json").write_text(json.dumps(config))
  assert launch(sweep, "--report_only", f"--workdir={path}") == 0
  assert sorted(row["status"] for row in read_csv(path)) == ["finished"] * 2 + ["unfinished"] * 2
  (path / "config.json").write_text(json.dumps(config | {"flags": config["flags"] | {"steps": 9}}))
  capsys.readouterr()
  assert train_sweep(path, *arguments, "--seeds=2") == 2
  assert "config.json: damaged: it lacks the steps of its budget" in capsys.readouterr().err


def test_a_budget_too_short_for_a_line_is_refused(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(planning.Timed, "seconds", lambda timed: 1.0)
  assert train_sweep(tmp_path / "sweep", "--penalty=gp", "--budget_seconds=2") == 2
  error = capsys.readouterr().err
  assert "--budget_seconds=2 is too short for 3 steps" in error
  assert "they take 3 s" in error
  assert not (tmp_path / "sweep").exists()


@pytest.mark.campaign
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
  (["--batching=loop"], "--batching"),
  (["--seed=3"], "seed"),
  (["--steps=5", "--budget_seconds=9"], "--steps does nothing with --budget_seconds"),
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


@pytest.mark.campaign
def test_vmapped_members_are_near_the_mapped_ones(finished, tmp_path):
  path = tmp_path / "sweep"
  assert train_sweep(path, "--steps=11", "--seeds=2", batching="vmap") == 0
  for mine, theirs in zip(read_csv(path), read_csv(finished), strict=True):
    assert mine["member"] == theirs["member"]
    for name in ("sliced_wasserstein", "held_out_wasserstein_estimate", "gradient_norm_max"):
      np.testing.assert_allclose(float(mine[name]), float(theirs[name]), rtol=1e-3)


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
  whole = {file: file.read_bytes() for file in path.glob("members/*/*.json*")}
  for member in sorted((path / "members").iterdir()):
    rows = read_metrics(member)
    for row in rows:
      row["gradient_norm_max"] = next(values)
    (member / "metrics.jsonl").write_bytes(encode_lines(rows))
    summary = json.loads((member / "summary.json").read_text())
    sha256 = hashlib.sha256(encode_lines(rows)).hexdigest()
    summary |= {"last": rows[-1], "logged": {"n": len(rows), "sha256": sha256}}
    write_json(member / "summary.json", summary)
  lost = next((path / "members").iterdir())
  (lost / "metrics.jsonl").unlink()
  with (path / "timing.jsonl").open("a") as file:
    file.write('{"program": ')
  assert launch(sweep, "--report_only", f"--workdir={path}") == 0
  status = {row["member"]: row["status"] for row in read_csv(path)}
  assert status.pop(lost.name) == "unfinished"
  assert set(status.values()) == {"finished"}
  for file, content in whole.items():
    file.write_bytes(content)
  (lost / "metrics.jsonl").unlink()
  assert train_sweep(path, "--steps=11", "--seeds=2") == 0
  read = (path / "timing.jsonl").read_text().splitlines()
  assert all(json.loads(line) for line in read)
