"""A launcher's streams: output never ends a run."""

import io

from experiments.host.streams import Unfailing


class Gone(io.StringIO):
  """A pipe whose reader is gone, or a full disk."""

  def write(self, text):
    raise BrokenPipeError

  def flush(self):
    raise OSError(28, "No space left on device")


def test_a_reader_that_goes_away_ends_nothing():
  stream = Unfailing(Gone())
  print("a line", file=stream, flush=True)
  closed = io.StringIO()
  closed.close()
  print("a line", file=Unfailing(closed), flush=True)


def test_a_letter_that_the_terminal_lacks_is_replaced():
  content = io.BytesIO()
  stream = Unfailing(io.TextIOWrapper(content, encoding="ascii"))
  print("runs/ä", file=stream, flush=True)
  assert content.getvalue() == b"runs/\\xe4\n"
  assert stream.encoding == "ascii"  # Else it is the stream that it stands for.
