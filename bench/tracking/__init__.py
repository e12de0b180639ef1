"""MLflow, where people look: one experiment a suite, a run a trial, above these a run a summary.

Records are the truth and lie on disk before they come here; a store that is lost or out of reach
costs nothing that `sync` cannot bring back.

tracker = Tracker(Experiment(results, suite), environment(), "bench run quickstart")
"""

from .connection import TrackingError, tracking_uri
from .experiment import Experiment
from .pull import Pulled, pull
from .tracker import Tracker, sync

__all__ = ["Experiment", "Pulled", "Tracker", "TrackingError", "pull", "sync", "tracking_uri"]
