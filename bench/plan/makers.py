"""The trials of a comparison."""

from __future__ import annotations

from dataclasses import replace

from reports.records import Labels
from suites import Case, Suite
from suites.method import MethodSpec

from .jobs import PathJob, PhaseUse, Standpoint, TrialJob
from .makers_shared import Maker, names_of
from .refusals import refuse_misfit, refuse_too_short, refuse_unfit_training


class ComparisonMaker(Maker[Suite]):
    """Turns the cases of a comparison into trials."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(suite, per_weight=suite.budgets.unstructured)

    def trial(self, case: Case) -> TrialJob:
        suite = self.suite
        recipe = self.recipe(case, case.recovery.recipe) if case.recovery.recipe else None
        return TrialJob(
            path=self.path(case),
            budget=case.budget,
            recovery=case.recovery.kind,
            recipe=recipe,
            total_epochs=case.recovery.total_epochs,
            finetuning=self._finetuning(case),
            train_accuracy=suite.train_accuracy,
            latency=suite.latency and not suite.budgets.unstructured,  # masks run on dense kernels
            labels=Labels(
                **names_of(suite, case),
                method=case.method_name,
                recovery=case.recovery.name,
                cost=suite.budgets.cost,
                budget=case.budget,
                matched_to=case.method.name if case.matched else None,
            ),
        )

    def _finetuning(self, case: Case) -> PhaseUse | None:
        spec = case.method.finetuning
        if spec is None or case.matched or case.recovery.kind != "finetune":
            return None
        return self.phase(case, "recovery", spec)

    def path(self, case: Case) -> PathJob:
        """One for all budgets; one a budget where a procedure heads for it."""
        at = self.standpoint(case)
        kept = self.suite.budgets_of(case.model).kept
        budgets = (case.budget,) if case.method.procedure else tuple(kept)
        key = ("path", id(at), case.method.name, case.matched, budgets)
        if case.matched is None:
            return self.once(key, lambda: self._path(case, at, budgets, None))
        own = self.path(replace(case, matched=None))
        control = replace(case, method=MethodSpec(criterion=case.matched))
        return self.once(key, lambda: self._path(control, at, budgets, own))

    def _path(
        self,
        case: Case,
        at: Standpoint,
        budgets: tuple[float, ...],
        matched: PathJob | None,
    ) -> PathJob:
        method, spec = case.method, case.method.procedure
        allowed = self.suite.budgets_of(case.model)
        procedure = self.phase(case, "procedure", spec) if spec else None
        between = method.iterative and method.iterative.recover
        selection = self.suite.selection_of(case.model, method)
        refuse_misfit(method, selection, allowed, matched is not None)
        refuse_unfit_training(method, procedure, allowed, selection)
        if procedure is not None:
            refuse_too_short(method, procedure, case.dataset)
        return PathJob(
            at=at,
            criterion=self.criterion(method),
            cost=allowed.cost,
            budgets=budgets,
            selection=selection,
            iterative=method.iterative,
            matched=matched,
            procedure=procedure,
            between=self.recipe(case, between) if between else None,
        )
