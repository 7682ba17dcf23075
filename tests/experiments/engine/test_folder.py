"""A run folder that was changed from outside: damaged, or a stranger's."""

import base64
import json
import os
import shutil

import pytest
from helpers.launching import copy_run, copy_sweep, draw, launch, results, train, train_sweep

from experiments import sweep
from experiments.host import checkpoints
from experiments.host.files import read_lines


@pytest.fixture
def run(tmp_path):
  """-> a run of 10 steps: lines at 3, 6, 9 and 10, checkpoints at 6, 8 and 10."""
  return copy_run(tmp_path / "run", "--steps=10")


def refused(capsys, status, *words):
  *others, line = capsys.readouterr().err.splitlines()
  assert status == 2
  assert line.startswith("error: ")
  assert not any("Traceback" in other for other in others)
  assert all(word in line for word in words), line


def test_a_flipped_bit_in_a_line_is_refused(run, capsys):
  """Each line up to the checkpoint is under its digest; the line past it comes again."""
  lines = (run / "metrics.jsonl").read_bytes()
  (whole := run.with_name("whole")).mkdir()
  shutil.copytree(run, whole, dirs_exist_ok=True)
  assert train(whole, "--steps=12") == 0
  capsys.readouterr()
  # After `"step": `, and within a number.
  for at in (lines.index(b'"critic_loss": ') + 18, lines.index(b'"step": 6') + 8):
    damaged = lines[:at] + bytes([lines[at] ^ 1]) + lines[at + 1 :]
    assert len(json.loads(damaged.splitlines()[0])) > 1
    (run / "metrics.jsonl").write_bytes(damaged)
    refused(capsys, train(run, "--steps=12"), "metrics.jsonl: damaged", "remove it to go on")
    assert (run / "metrics.jsonl").read_bytes() == damaged
  at = lines.rindex(b'"critic_loss": ') + 18
  (run / "metrics.jsonl").write_bytes(lines[:at] + bytes([lines[at] ^ 1]) + lines[at + 1 :])
  assert train(run, "--steps=12") == 0
  assert results(run) == results(whole)


@pytest.mark.campaign
def test_a_flipped_bit_in_a_member_of_a_sweep_is_refused(tmp_path, capsys):
  method = ("--penalty=clip", "--clip_value=0.01,0.1")
  path = copy_sweep(tmp_path / "sweep", *method, "--steps=6")
  member = sorted((path / "members").iterdir())[1]
  lines = (member / "metrics.jsonl").read_bytes()
  at = lines.index(b'"critic_loss": ') + 18
  (member / "metrics.jsonl").write_bytes(lines[:at] + bytes([lines[at] ^ 1]) + lines[at + 1 :])
  refused(capsys, train_sweep(path, *method, "--steps=9"), str(member / "metrics.jsonl"), "damaged")


def test_a_checkpoint_of_an_earlier_version_knows_no_lines(run):
  """Its run goes on."""
  for path in run.glob("checkpoints/*/digest.json"):
    record = json.loads(path.read_text())
    assert record.pop("logged")[0]["n"] > 0
    record["files"] = checkpoints._digest_files(path.parent, record)
    path.write_text(json.dumps(record))
  assert train(run, "--steps=12") == 0
  assert [line["step"] for line in read_lines(run / "metrics.jsonl")] == [3, 6, 9, 12]


def test_a_line_that_is_lost_is_said_and_one_that_is_other_is_refused(run, capsys):
  lines = (run / "metrics.jsonl").read_bytes()
  flipped = lines.replace(b'"step": 9', b'"step": 8')
  assert flipped != lines
  (run / "metrics.jsonl").write_bytes(flipped)
  config = (run / "config.json").read_bytes()
  refused(capsys, train(run, "--steps=12"), "metrics.jsonl: damaged")
  assert (run / "config.json").read_bytes() == config  # It does not say yet that there are 12.
  (run / "metrics.jsonl").write_bytes(b"".join(lines.splitlines(keepends=True)[2:3]))
  assert train(run, "--steps=12") == 0
  assert "lacks lines, 3 were written: they are lost" in capsys.readouterr().err


@pytest.mark.campaign
def test_a_finished_member_with_a_flipped_bit_is_not_reported(tmp_path, capsys):
  path = copy_sweep(tmp_path / "sweep", "--steps=6")
  metrics = next(path.glob("members/*/metrics.jsonl"))
  lines = metrics.read_bytes()
  at = lines.rindex(b'"sliced_wasserstein": ') + 25
  metrics.write_bytes(lines[:at] + bytes([lines[at] ^ 1]) + lines[at + 1 :])
  report = (path / "report.html").read_bytes()
  refused(capsys, launch(sweep, "--report_only", f"--workdir={path}"), str(metrics), "damaged")
  assert (path / "report.html").read_bytes() == report


@pytest.mark.parametrize("name", ["8/_CHECKPOINT_METADATA", "8/metrics", "8.orbax-checkpoint-tmp"])
def test_a_pipe_among_the_checkpoints_is_refused(run, capsys, name):
  pipe = run / "checkpoints" / name
  pipe.unlink(missing_ok=True)
  os.mkfifo(pipe)
  refused(capsys, train(run, "--steps=12"), str(pipe))
  refused(capsys, draw(run), str(pipe))


@pytest.mark.parametrize("name", ["samples", "tensorboard", "checkpoints/10"])
def test_a_folder_that_leads_elsewhere_is_refused(run, tmp_path, capsys, name):
  """A picture of a step would take the place of another's of that name."""
  outside, linked = tmp_path / "outside", run / name
  outside.mkdir()
  (outside / "step_000012.png").write_text("mine")
  shutil.rmtree(linked, ignore_errors=True)
  linked.symlink_to(outside)
  refused(capsys, train(run, "--steps=12"), str(linked), "is a link")
  assert [child.read_text() for child in outside.iterdir()] == ["mine"]


@pytest.mark.campaign
def test_a_report_embeds_nothing_from_outside(tmp_path, capsys):
  path, secret = copy_sweep(tmp_path / "sweep", "--steps=6"), tmp_path / "secret"
  secret.write_text("mine")
  picture = next(path.glob("members/*/samples/step_000006.png"))
  picture.unlink()
  for make in (lambda: picture.symlink_to(secret), lambda: os.mkfifo(picture)):
    make()
    assert launch(sweep, "--report_only", f"--workdir={path}") == 0
    assert f"warning: the report lacks {picture}" in capsys.readouterr().err
    assert base64.b64encode(b"mine").decode() not in (path / "report.html").read_text()
    picture.unlink()


@pytest.mark.campaign
def test_a_flipped_bit_in_a_summary_is_not_reported(tmp_path, capsys):
  path = copy_sweep(tmp_path / "sweep", "--steps=6")
  summary = next(path.glob("members/*/summary.json"))
  whole = summary.read_bytes()
  # In the last line's numbers, and in the digest.
  for at in (whole.index(b'"critic_loss": ') + 18, whole.index(b'"sha256": "') + 14):
    flipped = bytes([whole[at] ^ 1]) if whole[at] ^ 1 in b"0123456789abcdef" else b"0"
    summary.write_bytes(whole[:at] + flipped + whole[at + 1 :])
    refused(capsys, launch(sweep, "--report_only", f"--workdir={path}"), str(summary), "damaged")


@pytest.mark.campaign
def test_other_files_in_a_group_stay(tmp_path, capsys):
  path = copy_sweep(tmp_path / "sweep", "--steps=6")
  for note in (path / "group" / "notes.txt", path / "group" / "checkpoints" / "notes.txt"):
    note.parent.mkdir(exist_ok=True)
    note.write_text("mine")
    refused(capsys, train_sweep(path, "--steps=9"), "notes.txt is not the sweep's")
    assert note.read_text() == "mine"
    note.unlink()


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("config.json", '{"settings": ' + "[" * 2000 + "]" * 2000 + "}"),
    ("config.json", '{"format": 2}'),
    ("metrics.jsonl", "{}\n"),
    ("metrics.jsonl", '{"step": 3, "sliced_wasserstein": 1.0, "critic_loss": [1]}\n'),
    ("metrics.jsonl", '{"step": -3, "sliced_wasserstein": 1.0}\n'),
    ("timing.jsonl", "[]\n"),
    ("timing.jsonl", '{"step": 1e99}\n'),
  ],
)
def test_json_that_is_valid_and_wrong_is_one_line(run, capsys, name, content):
  (run / name).write_text(content)
  refused(capsys, train(run, "--steps=12"), name, "damaged")


@pytest.mark.campaign
@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("summary.json", "{}"),
    ("summary.json", '{"status": "diverged"}'),
    ("summary.json", '{"status": "finished", "steps": "6", "last": null}'),
    ("summary.json", '{"status": ["finished"]}'),
    ("metrics.jsonl", '{"step": 6}\n'),
  ],
)
def test_a_member_that_is_valid_json_and_wrong_is_one_line(tmp_path, capsys, name, content):
  path = copy_sweep(tmp_path / "sweep", "--steps=6")
  file = next(path.glob(f"members/*/{name}"))
  file.write_text(content)
  refused(capsys, launch(sweep, "--report_only", f"--workdir={path}"), str(file), "damaged")


@pytest.mark.parametrize(
  ("name", "value"),
  [("width", 0), ("width", -1), ("width", 10**19), ("latent_dim", None), ("depth", 10**7)],
)
def test_the_bounds_of_flags_hold_for_records(run, capsys, name, value):
  record = json.loads((run / "config.json").read_text())
  record["settings"][name] = value
  (run / "config.json").write_text(json.dumps(record))
  refused(capsys, draw(run), "config.json: damaged", name)
