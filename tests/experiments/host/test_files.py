"""Files that a kill may have cut short."""

import errno
import io
import json
import math
import os
import pathlib
import re
import stat
import subprocess
import sys
from typing import TypedDict

import pytest

from experiments.host import files
from experiments.host.errors import UserError
from experiments.host.files import (
  append_line,
  map_bytes,
  open_regular,
  read_bytes,
  read_json,
  read_lines,
  remove_file,
  remove_folder,
  write_chunks,
  write_json,
  write_lines,
)

ROOT = pathlib.Path(__file__).parents[3]


def test_lines_come_back_and_a_torn_one_is_no_line(tmp_path):
  path = tmp_path / "rows.jsonl"
  rows = [{"step": 1, "loss": 0.1}, {"step": 2, "loss": -1e-30}]
  assert read_lines(path) == []
  for row in rows:
    append_line(path, row)
  assert read_lines(path) == rows
  whole = path.read_bytes()
  for torn in ('{"step": 3, "lo', '{"step": 3}'):
    path.write_bytes(whole + torn.encode())
    assert read_lines(path) == rows
  write_lines(path, rows)
  assert path.read_bytes() == whole
  write_lines(path, [])
  assert path.read_bytes() == b""
  write_lines(tmp_path / "none.jsonl", [])
  assert not (tmp_path / "none.jsonl").exists()


def test_damage_is_one_line_that_names_the_file(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text('{"step": 1}\nrubbish\n{"step": 3}\n')
  with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
    read_lines(path)
  path.write_bytes(b'{"step": \xff}\n')
  with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
    read_lines(path)
  for content in ("{", "[1]", "\x00"):
    path.write_text(content)
    with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
      read_json(path)
  with pytest.raises(UserError, match="cannot be read"):
    read_json(tmp_path / "nowhere.json")


def test_a_file_that_cannot_be_replaced_stays_whole(tmp_path):
  path = tmp_path / "config.json"
  write_json(path, {"a": 1})
  with pytest.raises(TypeError):
    write_json(path, {"a": object()})
  assert read_json(path) == {"a": 1}
  assert [child.name for child in tmp_path.iterdir()] == ["config.json"]


def test_a_write_that_is_cut_short_leaves_the_file_that_was(tmp_path, monkeypatch):
  """On a full disk, whose error has no name: ours has that of the file."""
  path = tmp_path / "config.json"
  write_json(path, {"a": 1})
  append_line(tmp_path / "rows.jsonl", {"step": 1})

  class Full(io.BufferedWriter):
    def write(self, content):
      super().write(content[:5])
      raise OSError(errno.ENOSPC, "No space left on device")

  def open_full(path, flags):
    return Full(open_regular(path, flags).detach())

  with monkeypatch.context() as patch:
    patch.setattr(files, "open_regular", open_full)
    with pytest.raises(OSError, match=r"No space .*config\.json"):
      write_json(path, {"a": 2})
    with pytest.raises(OSError, match=r"No space .*rows\.jsonl"):
      append_line(tmp_path / "rows.jsonl", {"step": 2})
  assert read_json(path) == {"a": 1}
  assert read_lines(tmp_path / "rows.jsonl") == [{"step": 1}]
  assert {child.name for child in tmp_path.iterdir()} == {"config.json", "rows.jsonl"}


def test_nothing_is_written_through_a_link(tmp_path):
  """A link in a folder of a stranger may lead to the user's own files."""
  precious, folder = tmp_path / "precious", tmp_path / "run"
  precious.write_text("mine")
  folder.mkdir()
  for name in ("config.json", ".config.json.partial", "metrics.jsonl"):
    (folder / name).symlink_to(precious)
  write_json(folder / "config.json", {"a": 1})  # The link is replaced.
  assert read_json(folder / "config.json") == {"a": 1}
  with pytest.raises(OSError, match=r"metrics\.jsonl"):
    append_line(folder / "metrics.jsonl", {"step": 1})
  assert precious.read_text() == "mine"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / "rows.jsonl")
  with pytest.raises(OSError, match=r"rows\.jsonl"):
    append_line(tmp_path / "rows.jsonl", {"step": 1})


def test_the_permissions_are_the_users_own(tmp_path):
  before = os.umask(0o027)
  try:
    write_json(tmp_path / "a.json", {})
  finally:
    os.umask(before)
  assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_json_is_strict_and_numbers_come_back(tmp_path):
  row = {"step": 1, "values": [math.inf, -math.inf, 0.5], "of": {"loss": math.nan}, "text": "NaNs"}
  append_line(tmp_path / "rows.jsonl", row)

  def refuse(name):
    raise AssertionError(name)

  json.loads((tmp_path / "rows.jsonl").read_bytes(), parse_constant=refuse)
  (back,) = read_lines(tmp_path / "rows.jsonl")
  assert math.isnan(back["of"].pop("loss"))
  assert back == row | {"of": {}}
  (tmp_path / "old.json").write_text('{"loss": NaN}')  # As earlier versions wrote it.
  assert math.isnan(read_json(tmp_path / "old.json")["loss"])


class _Row(TypedDict):
  step: int


def test_json_that_is_valid_and_wrong_is_damaged(tmp_path):
  path = tmp_path / "rows.jsonl"
  wrong = ("[]", "1", "{}", '{"step": "1"}', '{"step": null}', '{"step": 1.5}', '{"step": true}')
  for content in (*wrong, "[" * 9999 + "]" * 9999, '{"step": 1, "a": "\\ud800"}'):
    path.write_text(content + "\n")
    with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
      read_lines(path, _Row)
    path.write_text(content)
    with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
      read_json(path, _Row)
  path.write_bytes(b'{"step": 1, "a": "\xed\xa0\x80"}')  # That letter's bytes, which are no UTF-8.
  with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
    read_json(path)
  path.write_text('{"step": 1, "beside": [2]}')
  assert read_json(path, _Row) == {"step": 1, "beside": [2]}


def test_a_damaged_field_is_named(tmp_path):
  (tmp_path / "rows.jsonl").write_text('{"step": 1}\n{"step": "2"}\n')
  with pytest.raises(UserError, match=r"got `str`.*step"):
    read_lines(tmp_path / "rows.jsonl", _Row)


def test_only_regular_files_in_their_folder_are_read(tmp_path):
  outside, folder = tmp_path / "outside", tmp_path / "run"
  outside.mkdir()
  folder.mkdir()
  (outside / "a.png").write_bytes(b"mine")
  (folder / "a.png").symlink_to(outside / "a.png")
  (folder / "samples").symlink_to(outside)
  os.mkfifo(folder / "fifo.png")
  names = ("a.png", "samples/a.png", "../outside/a.png", "fifo.png", "none.png", ".", "a\0b")
  for name in names:
    shown = str(folder / name) if "\0" not in name else "b'"
    with pytest.raises(OSError, match=re.escape(shown)):
      read_bytes(folder / name, inside=folder)
  with pytest.raises(UserError, match=r"fifo\.png: cannot be read"):
    read_json(folder / "fifo.png")
  (folder / "b.png").write_bytes(b"ours")
  assert read_bytes(folder / "b.png", inside=folder) == b"ours"


def test_nothing_is_removed_through_a_link(tmp_path):
  (tmp_path / "precious").mkdir()
  (tmp_path / "precious" / "file").write_text("mine")
  (tmp_path / "link").symlink_to(tmp_path / "precious")
  os.mkfifo(tmp_path / "pipe")
  for name in ("link", "pipe"):
    with pytest.raises(OSError, match="is a link or no folder"):
      remove_folder(tmp_path / name)
  remove_file(tmp_path / "pipe")
  remove_file(tmp_path / "link")  # The link itself.
  with pytest.raises(OSError, match="precious"):
    remove_file(tmp_path / "precious")
  assert (tmp_path / "precious" / "file").read_text() == "mine"
  remove_folder(tmp_path / "precious")
  remove_folder(tmp_path / "precious")  # There is none: nothing happens.
  assert not list(tmp_path.iterdir())


def test_chunks_are_one_file_whole_or_none(tmp_path):
  path = tmp_path / "a[1].images"
  write_chunks(path, (bytes([i]) * 3 for i in range(4)))
  array = map_bytes(path, (4, 3))
  assert array.tolist() == [[i] * 3 for i in range(4)]
  assert array.filename == str(path)
  with pytest.raises(ValueError, match="read-only"):
    array[0, 0] = 1

  def fail():
    yield b"new"
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    write_chunks(path, fail())
  assert [*tmp_path.iterdir()] == [path]
  assert path.read_bytes() == array.tobytes()
  with pytest.raises(OSError, match=r"none.*No such file|No such file.*none"):
    write_chunks(tmp_path / "none" / "a", [b"a"])


def test_only_a_file_of_the_right_size_is_mapped_and_no_link(tmp_path):
  (tmp_path / "a").write_bytes(b"123456")
  (tmp_path / "link").symlink_to(tmp_path / "a")
  assert map_bytes(tmp_path / "a", (2, 3)).shape == (2, 3)
  for name, shape in (("a", (2, 2)), ("a", (2, 4)), ("link", (2, 3)), ("none", (2, 3))):
    with pytest.raises(OSError, match=str(tmp_path / name)):
      map_bytes(tmp_path / name, shape)


def test_what_a_kill_left_is_removed_but_not_what_is_being_written(tmp_path):
  path, other = tmp_path / "a.images", tmp_path / "b.images"
  code = """
import pathlib, sys, time
from experiments.host.files import write_chunks
def chunks():
  yield b"half"
  print("writing", flush=True)
  time.sleep(60)
write_chunks(pathlib.Path(sys.argv[1]), chunks())
"""
  command = [sys.executable, "-c", code, str(path)]
  with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
    try:
      assert process.stdout.readline() == b"writing\n"
      (partial,) = tmp_path.iterdir()
      write_chunks(path, [b"whole"])
      write_chunks(other, [b"whole"])
      assert {*tmp_path.iterdir()} == {partial, path, other}
    finally:
      process.kill()
  (tmp_path / ".c.npz.0.partial").touch()  # Written, without a lock, by `write_bytes`.
  write_chunks(other, [b"again"])
  assert {*tmp_path.iterdir()} == {path, other, tmp_path / ".c.npz.0.partial"}
  assert other.read_bytes() == b"again"
