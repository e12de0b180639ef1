"""What goes wrong in ways that a person can mend: said in one message, never as a traceback."""


class BenchError(Exception):
    """A fault of the input or of the machine. The message says what, where, and what to do."""

    exit_code = 2


class PlanError(BenchError):
    """A suite that reads well but cannot be run: unknown criterion, option, dataset or model."""


class DataError(BenchError):
    """A dataset that is not where it should be, or not what it should be."""


class ModelError(BenchError):
    """An unknown architecture, or a checkpoint that does not fit it."""


class StoreError(BenchError):
    """The results folder cannot be read, written or locked."""

    exit_code = 74  # EX_IOERR


class ExportError(BenchError):
    """A network that cannot be kept, rebuilt, or written for another runtime."""
