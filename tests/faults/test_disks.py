"""Disks that are full, read-only or gone: one line, nothing lost, and with room it goes on."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers.attacking import LOST, SURVIVED, TRACEBACK, begin, command, end, judge, same_run, saved
from helpers.attacking import wait_until as wait

pytestmark = pytest.mark.campaign

RUN = ("--steps=20", "--checkpoint_every=2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  path = tmp_path_factory.mktemp("whole") / "run"
  assert end(begin(command("mnist", path, *RUN))).status == 0
  return path


@pytest.fixture(scope="module")
def mounting(tmp_path_factory):
  """-> (folder, script) -> a command line within which `script` may mount; "$@" is the run."""
  probe = tmp_path_factory.mktemp("mount")

  def mounting(script, line=()):
    return ["unshare", "-U", "--map-root-user", "--mount", "sh", "-c", script, "sh", *line]

  if not shutil.which("unshare"):
    pytest.skip("no unshare here")
  script = f"mount -t tmpfs -o size=64k tmpfs '{probe}'"
  if subprocess.run(mounting(script), check=False, capture_output=True).returncode:
    pytest.skip("nothing can be mounted here")
  return mounting


def judge_full(full, after, same):
  """The word for a run on a full disk, and for the same command when there is room."""
  if "Traceback" in full.err or full.status not in (0, 2) or len(full.err.splitlines()) > 40:
    return TRACEBACK
  if full.status == 2 and full.err.count("error: ") != 1:
    return TRACEBACK
  return judge(after, same) if after.status == 0 else LOST


@pytest.mark.parametrize("size", [20, 60, 100, 150, 200, 250, 300, 400, 600])
def test_a_full_disk_costs_a_line_and_nothing_else(counted, whole, mounting, tmp_path, size):
  disk, out = tmp_path / "disk", tmp_path / "run"
  disk.mkdir()
  line = command("mnist", disk / "run", *RUN)
  # The disk is there within the script alone.
  script = f"""
    mount -t tmpfs -o size={size}k tmpfs '{disk}' || exit 99
    "$@" 2> '{tmp_path}/err'; echo $? > '{tmp_path}/status'
    mount -o remount,size=50m '{disk}' || exit 99
    "$@"; status=$?
    cp -r '{disk}/run' '{out}'; exit $status
  """
  with counted("full disks") as tally:
    after = end(begin(mounting(script, line)))
    err, status = (tmp_path / "err").read_text(), int((tmp_path / "status").read_text())
    full = after._replace(status=status, err=err)
    word = judge_full(full, after, lambda: same_run(out, whole))
    # "a file: No space left" would leave one to search.
    refusal = [line for line in err.splitlines() if line.startswith("error: ")]
    if word == SURVIVED and refusal and str(disk) not in refusal[0]:
      word = TRACEBACK
    tally.add(word, f"{size} kB", f"{err[-700:]}\n--- with room:\n{after.err[-700:]}")


@pytest.mark.parametrize("size", [0, 300, 3000, 20_000, 60_000, 100_000])
def test_a_limit_of_file_sizes_costs_a_line_and_nothing_else(counted, whole, tmp_path, size):
  path = tmp_path / "run"
  limit = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
  limited = [sys.executable, "-c", f"{limit}; os.execv(sys.argv[1], sys.argv[1:])"]
  with counted("full disks") as tally:
    with begin([*limited, *command("mnist", path, *RUN)]) as process:
      full = end(process)
    after = end(begin(command("mnist", path, *RUN)))
    word = judge_full(full, after, lambda: same_run(path, whole))
    tally.add(word, f"files of {size} bytes at most", full.err)


@pytest.mark.parametrize("begun", [False, True])
def test_a_read_only_folder_is_refused_in_one_line(counted, whole, mounting, tmp_path, begun):
  disk = tmp_path / "disk"
  disk.mkdir()
  if begun:
    assert end(begin(command("mnist", disk / "run", "--steps=4"))).status == 0
  script = f"""
    mount --bind '{disk}' '{disk}' && mount -o remount,bind,ro '{disk}' || exit 99
    exec "$@"
  """
  with counted("read-only folders") as tally:
    ended = end(begin(mounting(script, command("mnist", disk / "run", *RUN))))
    word = SURVIVED if ended.refused and str(disk) in ended.err else TRACEBACK
    tally.add(word, f"begun: {begun}", ended.err)
    after = end(begin(command("mnist", disk / "run", *RUN)))
    tally.add(judge(after, lambda: same_run(disk / "run", whole)), f"begun: {begun}", after.err)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_refused_in_one_line(counted, tmp_path):
  disk = tmp_path / "disk"
  disk.mkdir(mode=0o500)
  with counted("read-only folders") as tally:
    ended = end(begin(command("mnist", disk / "run", *RUN)))
    tally.add(SURVIVED if ended.refused else TRACEBACK, "no rights", ended.err)


@pytest.mark.parametrize("part", ["", "checkpoints", "samples", "metrics.jsonl"])
@pytest.mark.parametrize("launcher", ["mnist", "sweep"])
def test_what_vanishes_under_a_run_costs_a_line(counted, tmp_path, launcher, part):
  """It is gone: the rest must not be wrong, and the same command makes all of it again."""
  path = tmp_path / "run"
  arguments = ("--steps=200", "--checkpoint_every=1")
  arguments += ("--penalty=gp",) if launcher == "sweep" else ()
  with counted("vanished folders") as tally:
    with begin(command(launcher, path, *arguments)) as process:
      wait(process, lambda: len(saved(path)) > 1)
      for gone in [path] if not part else list(path.glob(f"**/{part}")):
        shutil.rmtree(gone, ignore_errors=True)
        gone.unlink(missing_ok=True) if gone.is_file() else None
      ended = end(process)
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    word = SURVIVED if ended.status in (0, 2) else TRACEBACK
    if "Traceback" in ended.err or (ended.status == 2 and len(errors) != 1):
      word = TRACEBACK
    tally.add(word, f"{launcher}, {part or 'the whole folder'}", ended.err)
    if word == SURVIVED and not part:
      after = end(begin(command(launcher, path, "--steps=4", *arguments[1:])))
      tally.add(judge(after, lambda: True), f"{launcher}, begun again", after.err)
