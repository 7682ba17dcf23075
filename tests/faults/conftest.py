"""The count of all tries by kind, and their table at the end: that of docs/reliability.md."""

import collections
import contextlib

import pytest
from helpers.attacking import WORDS, Tally


@pytest.fixture
def counted(record_property):
  """-> a block in which tries of a kind are counted; at its end all must have survived."""

  @contextlib.contextmanager
  def counted(kind):
    tally = Tally()
    try:
      yield tally
    finally:
      record_property(f"faults: {kind}", dict(tally.counts))  # Workers hand it to the main process.
    tally.check()

  return counted


def pytest_terminal_summary(terminalreporter):
  reports = [each for group in terminalreporter.stats.values() for each in group]
  kinds = collections.defaultdict(collections.Counter)
  for report in sorted(
    (each for each in reports if getattr(each, "when", None) == "call"),
    key=lambda each: each.nodeid,
  ):
    for name, counts in report.user_properties:
      if name.startswith("faults: "):
        kinds[name.removeprefix("faults: ")].update(counts)
  if not kinds:
    return
  terminalreporter.section("faults")
  terminalreporter.write_line(f"| kind | tries | {' | '.join(WORDS)} |")
  terminalreporter.write_line("|---|" + "---:|" * (1 + len(WORDS)))
  for kind, counts in kinds.items():
    cells = [f"{n:,}" for n in (counts.total(), *(counts[word] for word in WORDS))]
    terminalreporter.write_line(f"| {kind} | {' | '.join(cells)} |")
