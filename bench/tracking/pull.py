"""Records from an MLflow store into a results folder: a trial's run has its own as an artifact."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from reports.records import RecordError, is_key, parse_record

from ..errors import fault, told
from ..store.store import Store
from .connection import TrackingError, connect, runs_where, talking_to, without_password


@dataclass
class Pulled:
    """What a pull did."""

    found: int = 0  # trials that the store holds whole
    here: int = 0  # of them, those whose records the folder had already
    written: int = 0  # records that are new here
    faults: list[str] = field(default_factory=list)  # what was left out, and why


def pull(store: Store, suite: str, uri: str) -> Pulled:
    """Fetch the records of a suite's trials. A finished record is never replaced, a failed one by a
    finished one only; what does not hash to its key is left out.

    Args:
        store: the results folder, locked by the caller.
        suite: the name of the experiment.
        uri: any MLflow tracking URI.

    Raises TrackingError: the store cannot be read, or knows no such experiment.
    """
    pulled = Pulled()
    with (
        talking_to(uri, "Nothing here has changed that is not whole"),
        tempfile.TemporaryDirectory() as folder,
    ):
        from mlflow.exceptions import MlflowException

        client = connect(uri, make=False)
        if (experiment := client.get_experiment_by_name(suite)) is None:
            known = ", ".join(sorted(one.name for one in client.search_experiments())) or "none"
            asked = {"uri": without_password(uri), "suite": suite}
            raise TrackingError(fault("no_experiment", **asked, known=known))
        whole = "tags.role = 'trial' and attributes.status != 'RUNNING'"
        for run in runs_where(client, experiment.experiment_id, whole):
            pulled.found += 1
            key, status = (run.data.tags.get(one, "") for one in ("trial.key", "status"))
            # Keys become paths, and this one comes from elsewhere.
            held = store.record(key) if is_key(key) else None
            if held is not None and (held.status == "done" or status != "done"):
                pulled.here += 1
                continue
            source = f"run {run.info.run_name or run.info.run_id}"
            try:
                file = client.download_artifacts(run.info.run_id, "trial.json", folder)
                store.write_record(parse_record(Path(file).read_bytes(), source, key))
                pulled.written += 1
            except RecordError as error:
                pulled.faults.append(str(error))
            except (MlflowException, OSError) as error:
                client.get_run(run.info.run_id)  # or it is the whole store that is gone
                pulled.faults.append(f"{source}: its trial.json cannot be had ({told(error)})")
    return pulled
