"""Signals at random moments, the first seconds too: no traceback, and the same command goes on."""

import random
import signal
import time

import pytest
from helpers.attacking import LOST, ROOT, SURVIVED, TRACEBACK, begin, command, end, judge, same_run

pytestmark = pytest.mark.campaign

RUN = ("--steps=60", "--checkpoint_every=2")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]
TRIES = 6  # In the life of one run.


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  path = tmp_path_factory.mktemp("whole") / "run"
  assert end(begin(command("mnist", path, *RUN))).status == 0
  return path


def word_of(ended, number):
  """A process that a signal reached is ended by it, or says that it stops; never a traceback."""
  if number == signal.SIGINT and ended.status in (1, 130, -2) and str(ROOT) not in ended.err:
    return SURVIVED  # Python itself was starting: no line of ours had run.
  if "Traceback" in ended.err or ended.status not in (0, -number, 128 + number):
    return TRACEBACK
  if ended.status == 128 + number and "the same command goes on" not in ended.err:
    return LOST
  return SURVIVED


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
@pytest.mark.parametrize("latest", [1, 4])  # Seconds; the first is within the imports.
def test_a_signal_ends_a_run_in_one_line_and_it_goes_on(counted, whole, tmp_path, number, latest):
  path, rng = tmp_path / "run", random.Random(number * latest)
  line = command("mnist", path, *RUN)
  with counted("signals") as tally:
    for _ in range(TRIES):
      seconds = rng.uniform(0.1, latest)
      with begin(line) as process:
        time.sleep(seconds)
        process.send_signal(number)
        ended = end(process)
      tally.add(word_of(ended, number), f"{number.name} after {seconds:.2f} s", ended.err)
    ended = end(begin(line))
    tally.add(judge(ended, lambda: same_run(path, whole)), f"{number.name}, the end", ended.err)
