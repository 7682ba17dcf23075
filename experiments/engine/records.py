"""What the files of a run and of a sweep hold, as types that `experiments.host.files` checks."""

from typing import Annotated, NotRequired, TypedDict

import msgspec

from experiments.host.checkpoints import Logged
from experiments.host.environment import Machine
from experiments.measures.rows import BEST_BY
from experiments.spec.flags import MAX_STEPS

_Step = Annotated[int, msgspec.Meta(ge=0, le=MAX_STEPS + 1)]


class Flags(TypedDict):
  """Flags in a config.json that are read again; the others are for people."""

  steps: _Step | dict[str, _Step]  # By program, where there is a budget.
  log_every: NotRequired[int]
  slow_every: NotRequired[int]
  budget_seconds: NotRequired[int | None]


class ConfigFile(TypedDict):
  """A config.json: `settings` of a run, or `members` of a sweep."""

  data_sha256: str
  flags: Flags
  environment: Machine
  resumed_in: list[Machine]
  settings: NotRequired[dict]
  classes: NotRequired[list[str]]
  members: NotRequired[Annotated[list[dict], msgspec.Meta(min_length=1)]]


class GroupConfig(TypedDict):
  """A group/config.json."""

  runs: Annotated[list[dict], msgspec.Meta(min_length=1)]
  start: _Step
  batching: str


MetricsLine = TypedDict("MetricsLine", {"step": _Step, BEST_BY: float})
"""A line of metrics.jsonl; all that it holds are numbers by name."""


class TimingLine(TypedDict):
  """A line of timing.jsonl; `program` and `batching` are a sweep's, compiling has no step."""

  step: NotRequired[_Step]
  steps: NotRequired[_Step]
  members: NotRequired[_Step]
  program: NotRequired[str]
  batching: NotRequired[str]
  compile_seconds: NotRequired[float]
  chunk_seconds: NotRequired[float]
  host_seconds: NotRequired[float]


class Finished(msgspec.Struct, tag_field="status", tag="finished"):
  """A summary.json of a run that reached its last step."""

  steps: _Step
  last: dict[str, float] | None
  logged: Logged


class Stopped(msgspec.Struct, tag_field="status", tag="stopped"):
  """A summary.json of a run that was asked to stop."""

  steps: _Step


class Diverged(msgspec.Struct, tag_field="status", tag="diverged"):
  """A summary.json of a run whose numbers are finite up to the step before `first_bad_step`."""

  first_bad_step: Annotated[int, msgspec.Meta(ge=1, le=MAX_STEPS + 1)]
  logged: Logged


Summary = Finished | Stopped | Diverged
