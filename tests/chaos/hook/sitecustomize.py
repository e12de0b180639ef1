"""Python runs this first of all in every process of a disturbed run, as it lies on PYTHONPATH.

CHAOS is a JSON object: `results`, the folder that is watched; `log`, where every step is counted,
a line each, over all processes; `kills`, of which the first that a step fits is carried out, once;
`full`, the number of the step from which on nothing can be written.
"""

import errno
import json
import os
import signal
import sqlite3
import sys
import threading
import time

WRITES = os.O_WRONLY | os.O_RDWR
ROLES = {"spawn_main": "worker", "resource_tracker": ""}


def role() -> str:
    words = " ".join(sys.orig_argv)
    return next((found for word, found in ROLES.items() if word in words), "front")


class Chaos:
    def __init__(self, results, log, kills=(), full=None):
        self.results, self.log, self.kills, self.full = results, log, list(kills), full
        self.role, self.seen, self.inside = role(), {}, threading.local()

    def step(self, what: str, where: str) -> None:
        """Count a step of this process; it may be its last, or fail."""
        if getattr(self.inside, "so", False):
            return
        self.inside.so = True
        try:
            count = self.tell(f"{self.role} {what} {where}")
            for at, kill in enumerate(self.kills):
                if kill["role"] == self.role and kill["what"] == what and kill["where"] == where:
                    self.seen[at] = self.seen.get(at, 0) + 1
                    if self.seen[at] == kill["nth"] and self.first(at):
                        self.carry_out(kill)
        finally:
            self.inside.so = False
        if self.full is not None and count >= self.full:
            if what == "commit":
                raise sqlite3.OperationalError("database or disk is full")
            raise OSError(errno.ENOSPC, "No space left on device")

    def tell(self, line: str, file: str = "") -> int:
        """Append to what all processes share; how many lines it has then."""
        handle = os.open(self.log + file, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, line.encode().ljust(79)[:79] + b"\n")
            return os.lseek(handle, 0, os.SEEK_CUR) // 80
        finally:
            os.close(handle)

    def first(self, at: int) -> bool:
        """Whether no process has carried out this kill."""
        try:
            os.close(os.open(f"{self.log}.{at}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def carry_out(self, kill) -> None:
        whom = os.getpid() if kill["victim"] == self.role else os.getppid()

        def die() -> None:
            time.sleep(kill.get("after_s", 0))
            self.tell(
                f"{kill['victim']} killed: {self.role} {kill['what']} {kill['where']}", ".killed"
            )
            os.kill(whom, signal.SIGKILL)

        if kill.get("after_s"):
            threading.Thread(target=die, daemon=True).start()
        else:
            die()

    def folder(self, path) -> str:
        """The folder of the results that a path lies in; "" where it is elsewhere."""
        try:
            path = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError):
            return ""
        if not path.startswith(self.results + os.sep):
            return ""
        return os.path.relpath(path, self.results).split(os.sep)[0]

    def heard(self, event: str, given) -> None:
        if event == "open" and given[2] & WRITES and not isinstance(given[0], int):
            if where := self.folder(given[0]):
                self.step("open", where)
        elif event == "os.rename" and (where := self.folder(given[1])):
            self.step("rename", where)

    def install(self) -> None:
        chaos, connect, sync = self, sqlite3.connect, os.fsync

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                if self.in_transaction:
                    chaos.step("commit", "mlflow.db")
                super().commit()
                chaos.step("committed", "mlflow.db") if chaos.full is None else None

        def counted(*given, **how):
            return connect(*given, **{"factory": Connection, **how})

        def synced(handle) -> None:
            try:
                where = self.folder(os.readlink(f"/proc/self/fd/{handle}"))
            except OSError:
                where = ""
            if where:
                self.step("fsync", where)
            sync(handle)

        sqlite3.connect = sqlite3.dbapi2.connect = counted
        os.fsync = synced
        sys.addaudithook(self.heard)


if os.environ.get("CHAOS") and role():
    Chaos(**json.loads(os.environ["CHAOS"])).install()
