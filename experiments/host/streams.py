"""Standard streams whose reader may go away, or that are closed: output never ends a run."""

import contextlib
import io
import os
import subprocess
import sys
from typing import TextIO


def fill_descriptors() -> None:
  """Opens the standard streams that are closed, on nothing: else a file would take their number.

  What other packages write to stream 2 by its number would be written into that file.
  """
  while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # The lowest that is free.
    pass
  os.close(descriptor)


def make_unfailing() -> None:
  """Replaces this process's output streams by some that never raise."""
  sys.stdout = Unfailing(sys.stdout or _Nowhere())  # None where it is closed.
  sys.stderr = Unfailing(sys.stderr or _Nowhere())


def drop_errors(pattern: str) -> None:
  """Takes lines out of what this process writes to standard error, its C++ libraries included.

  Args:
    pattern: an extended regular expression, of `grep`; nothing is dropped where there is none.
  """
  command = ["grep", "--line-buffered", "-Ev", pattern]
  with contextlib.suppress(OSError):
    # In a session of its own: Ctrl-C does not end it, the end of this process does.
    grep = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    sys.stderr.flush()
    os.dup2(grep.stdin.fileno(), 2)


class Unfailing:
  """A stream whose reader may go away, and that takes every letter."""

  def __init__(self, stream: TextIO):
    with contextlib.suppress(AttributeError, ValueError):
      stream.reconfigure(errors="backslashreplace")
    self._stream = stream

  def write(self, text: str) -> int:
    """Writes what can be written."""
    with contextlib.suppress(OSError, ValueError):
      return self._stream.write(text)
    return len(text)

  def flush(self) -> None:
    """Flushes if there is a reader."""
    with contextlib.suppress(OSError, ValueError):
      self._stream.flush()

  def __getattr__(self, name: str):
    return getattr(self._stream, name)


class _Nowhere(io.StringIO):
  """A stream that keeps nothing."""

  def write(self, text: str) -> int:
    return len(text)
