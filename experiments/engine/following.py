"""The part of the processes that do not lead: they compute what process 0 tells them to."""

from experiments.engine.engine import Engine
from experiments.engine.planning import Loader
from experiments.host.processes import Team
from experiments.host.signals import stop_signals
from experiments.measures.classes import load_classifier_measures
from experiments.spec.settings import Settings


def follow(team: Team, load: Loader) -> None:
  """Computes what process 0 computes, with its data, until it ends; writes and prints nothing.

  The calls are those of `Engine`, whose states stay on the devices: only process 0 looks at them.

  Args:
    team: the processes, seen from one that does not lead.
    load: loads the data of a run.
  """
  engine = classifier = members = fetched = None
  print(f"process {team.index} of {team.n}: computes with process 0", flush=True)
  with stop_signals(stop=team.stop):
    for name, *arguments in team.calls():
      if name == "engine":
        records, capacity, batching, slow, data_parallel = arguments
        runs = [Settings.of_record(record) for record in records]
        dataset = load(runs[0])
        if slow and classifier is None:
          classifier = load_classifier_measures(dataset)
        chosen = classifier if slow else None
        engine = Engine(runs, dataset, capacity, batching, chosen, data_parallel, team)
      elif name == "init":
        members = engine.init()
      elif name == "fetch":
        fetched = engine.fetch(members)
      elif name == "lay_out":
        members = engine.lay_out(fetched)
      elif name == "chunk":
        members, _ = engine.chunk(members, *arguments)
      elif name == "measure":
        engine.measure(members, slow=arguments[0])
      elif name == "snapshot":
        engine.snapshot(members)
