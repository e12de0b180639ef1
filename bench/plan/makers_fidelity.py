"""The trials of a fidelity suite."""

from __future__ import annotations

from criteria import registry
from reports.records import Labels
from suites import FidelitySuite, Probe

from ..errors import PlanError
from .jobs import FidelityJob, OracleJob
from .makers_shared import Maker, names_of


class FidelityMaker(Maker[FidelitySuite]):
    """Turns the probes of a fidelity suite into trials."""

    def trial(self, probe: Probe) -> FidelityJob:
        """Raises PlanError for a selector, which has no scores to be held against anything."""
        criterion = self.criterion(probe.method)
        if registry.find(criterion.name).selector is not None:
            raise PlanError(
                f"method {probe.method.name}: {criterion.name} picks sets and gives no scores, "
                "which `kind: fidelity` asks for; take it out"
            )
        at = self.standpoint(probe)
        return FidelityJob(
            at=at,
            criterion=criterion,
            oracle=self.once(
                ("oracle", id(at.base)), lambda: OracleJob(at.base, self.suite.fidelity)
            ),
            labels=Labels(
                **names_of(self.suite, probe),
                method=probe.method.name,
                recovery="none",
                cost=None,
                budget=None,
            ),
        )
