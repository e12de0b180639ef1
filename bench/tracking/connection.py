"""Which MLflow store, and what holds for all talk with it: settings, and one clear error.

mlflow is imported only once a store is opened, as that takes seconds.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..errors import BenchError, told
from ..store.sealed import set_aside

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WAIT_S = 10.0  # for a database that another process has locked
# Of MLflow's environment; what the user has set wins.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # MLflow's own: 120 s, seven retries
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight idle processes beside the UI
}


class TrackingError(BenchError):
    """MLflow cannot be reached or written. No record is lost: `bench sync` logs them later."""

    exit_code = 74  # EX_IOERR


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or else the SQLite database in the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri(root)


def local_uri(root: Path) -> str:
    path = str(root.resolve() / "mlflow.db")
    return "sqlite:///" + path.replace("%", "%25").replace("?", "%3F")  # which mean more there


def artifact_location(root: Path) -> str:
    return (root.resolve() / "mlflow-artifacts").as_uri()


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def without_password(uri: str) -> str:
    return re.sub("//[^/?#]*@", "//", uri)


def ui_command(root: Path, port: int = 5000) -> list[str]:
    """The command that serves the UI of the store of `root`. Raises TrackingError where the store
    is a server, which has its own UI."""
    uri = tracking_uri(root)
    if is_server(uri):
        raise TrackingError(f"the runs are on a server already; open {without_password(uri)}")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--artifacts-destination", artifact_location(root)]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def ui_environment() -> dict[str, str]:
    """The environment to start `ui_command` in."""
    return {**SETTINGS, **os.environ}


@contextmanager
def talking_to(
    uri: str, rest: str = "The records are safe on disk; `bench sync` logs them later"
) -> Iterator[None]:
    """Whatever goes wrong between here and the store becomes one error, which ends in `rest`."""
    os.environ.update(ui_environment())  # before the import, which reads it
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # of MLflow, SQLAlchemy, sqlite3, whatever answers at an address
        reason = told(error).partition("\n")[0].rpartition("Caused by ")[2]
        raise TrackingError(
            f"MLflow at {without_password(uri)} cannot be used: "
            f"{reason.replace(uri, without_password(uri))}. {rest}"
        ) from error


def local_database_holds(root: Path) -> bool:
    """Whether the local database is there; one that is none any more is moved out of the way.

    Records make it anew.
    """
    path = root.resolve() / "mlflow.db"
    if not path.exists():
        return False
    if not path.is_file():
        set_aside(path, "no file", root.resolve())
        return False
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return True  # locked or out of reach, which says nothing of what it holds
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        set_aside(path, f"no whole database ({found.partition(chr(10))[0]})", root.resolve())
    return bool(found == "ok")


def follow_folder(root: Path, old: str) -> None:
    """Let the runs of a local database find their artifacts where the results folder is now."""
    new = artifact_location(root)
    with closing(sqlite3.connect(root.resolve() / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE substr({column} || '/', 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, f"{old}/"),
            )


def connect(uri: str, *, make: bool = True) -> MlflowClient:
    """A client of the store, made where there is none, to be used within `talking_to`. Raises
    TrackingError where there is none, and none is to be made."""
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every migration
    # So does this one, and prints a traceback of every fault, which `talking_to` tells in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if uri.startswith("sqlite:///"):
        path = Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0]))
        if not (make or path.exists()):
            raise TrackingError(f"there is no MLflow database {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
            database.execute("BEGIN IMMEDIATE")  # MLflow would try for minutes before it complains
    return MlflowClient(tracking_uri=uri)


def wait_for_no_disk(root: Path) -> None:
    """Commit to the local database at once: records make it anew, should a power cut damage it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event

    engine = SqlAlchemyStore(local_uri(root), artifact_location(root)).engine  # of all its clients
    event.listen(engine, "connect", lambda base, _: base.execute("PRAGMA synchronous = OFF"))
    engine.dispose()  # of connections from before


def runs_where(client: MlflowClient, experiment: str, condition: str) -> Iterator[Run]:
    """All runs of an experiment that meet a condition, the newest first; within `talking_to`."""
    token = None
    while True:
        page = client.search_runs([experiment], condition, page_token=token)
        yield from page
        if not (token := page.token):
            return
