"""MLflow, where people look: one experiment a suite, one flat run a trial.

Records are the truth and lie on disk before they come here; a store that is lost or out of reach
costs nothing that `sync` cannot bring back.

tracker = Tracker(None, results, suite, provenance=environment(), command="bench run quickstart")
"""

from .artifact import update_report
from .connection import TrackingError, tracking_uri
from .pull import Pulled, pull
from .tracker import Tracker, sync

__all__ = ["Pulled", "Tracker", "TrackingError", "pull", "sync", "tracking_uri", "update_report"]
