"""A suite's way from its name to its trials: find the file, apply overrides, span the product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, overload

from pydantic import ValidationError

from .faults import explained, no_such
from .fidelity import FidelitySuite
from .files import SuiteError, parse_yaml, read_yaml
from .method import MethodSpec, matched_name, named_presets
from .problem import DatasetSpec, ModelSpec
from .protocol import RecoverySpec
from .scale import PAPER, rescale, scale_names, set_dotted
from .schema import Suite, unfollowed_words

LIBRARY = Path(__file__).with_name("library")
KINDS: dict[str, type[Suite | FidelitySuite]] = {"comparison": Suite, "fidelity": FidelitySuite}


@dataclass(frozen=True)
class Probe:
    """One method at one base and repeat: a trial of a fidelity suite."""

    dataset: DatasetSpec
    model: ModelSpec
    base: int
    repeat: int
    method: MethodSpec


@dataclass(frozen=True)
class Case(Probe):
    """One trial of a comparison.

    Attributes:
        matched: a control selects by this criterion, under the layer widths of `method`.
        budget: share of the suite's cost that is kept.
    """

    matched: str | None
    budget: float
    recovery: RecoverySpec

    @property
    def method_name(self) -> str:
        return matched_name(self.method, self.matched) if self.matched else self.method.name


@overload
def expand(suite: Suite) -> Iterator[Case]: ...
@overload
def expand(suite: FidelitySuite) -> Iterator[Probe]: ...
def expand(suite: Suite | FidelitySuite) -> Iterator[Probe]:
    """All trials of a suite, problem by problem and base by base.

    >>> cases = list(expand(load_suite("quickstart", ["bases=1", "models=[resnet20]"])))
    >>> [(case.method_name, case.budget, case.recovery.name) for case in cases[:2]]
    [('random', 0.7, 'none'), ('random', 0.7, 'finetune-quick')]
    """
    bases = range(suite.first_base, suite.first_base + suite.bases)
    seeds = product(bases, range(suite.repeats))
    for (dataset, model), (base, repeat) in product(suite.problems, seeds):
        place = dataset, model, base, repeat
        for method in suite.methods_on(model):
            if isinstance(suite, FidelitySuite):
                yield Probe(*place, method)
                continue
            recoveries = [
                one for one in suite.recoveries if one.kind == "finetune" or not method.finetuning
            ]
            for matched, budget, recovery in product(
                [None, *method.matched], suite.budgets_of(model).kept, recoveries
            ):
                yield Case(*place, method, matched, budget, recovery)


def library() -> dict[str, Path]:
    """The suites that come with the project."""
    return {path.stem: path for path in sorted(LIBRARY.glob("*.yaml"))}


def scales_of(name: str) -> list[str]:
    """What `load_suite` takes as the scale of this suite, largest first.

    Raises:
        SuiteError: no such suite, not YAML, or scales that are none.
    """
    path = _find(name)
    return scale_names(_read(path), path)


def load_suite(
    name: str, overrides: Sequence[str] = (), *, scale: str | None = None
) -> Suite | FidelitySuite:
    """A suite by its name in the library or by path.

    Args:
        name: `quickstart`, or `path/to/suite.yaml`.
        overrides: `key=value` with dots into the file and a value in YAML:
            `calibration.images=64`, `models=[resnet20]`, `methods.0.criterion=l2`.
        scale: apply that one of the suite's own `scales` first; `paper` is the file as it stands.

    Raises:
        SuiteError: no such suite or scale, not YAML, an unknown key, a wrong type; names file and
            key.

    >>> suite = load_suite("quickstart", ["calibration.images=64"])
    >>> suite.suite, suite.budgets.kept, suite.calibration.images
    ('quickstart', [0.7, 0.5], 64)
    """
    path = _find(name)
    content = _read(path)
    _refuse_name_of_library(content, path)
    if scale is not None:
        rescale(content, scale, path)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SuiteError(f"--set {override}: expected key=value, as in calibration.images=64")
        set_dotted(content, key.strip(), parse_yaml(text, f"--set {override}"), f"--set {override}")
    kind = KINDS.get(str(content.get("kind", "comparison")))
    if kind is None:
        raise SuiteError(f"{path}: kind = {content['kind']!r}: there are {', '.join(KINDS)}")
    try:
        suite = kind.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(f"{path}: {fault}" for fault in explained(error, kind))
        raise SuiteError(faults, _criteria_named(content)) from error
    # What is taken out by a scale or on the command line may leave recipes that nothing follows.
    if suite.unfollowed and scale in (None, PAPER) and not overrides:
        raise SuiteError(f"{path}: {unfollowed_words(key for key, _ in suite.unfollowed)}")
    if suite.at_scale and not suite.description:
        return suite.model_copy(update={"description": suite.reduced_to})
    return suite


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise SuiteError(f"{path}: a suite is a mapping with keys such as `suite` and `methods`")
    return content


def _refuse_name_of_library(content: Mapping[str, Any], path: Path) -> None:
    """Reports and MLflow experiments go by a suite's name, so two suites must not share one.

    Raises:
        SuiteError: another suite of the library has it.
    """
    name = content.get("suite")
    own = library().get(name) if isinstance(name, str) else None
    if own is not None and not own.samefile(path) and read_yaml(own) != content:
        raise SuiteError(
            f"{path}: suite = {name}: the library has another suite of that name, and reports and "
            "MLflow experiments go by names; give it one of its own"
        )


def _find(name: str) -> Path:
    """Raises SuiteError where the library has none of that name."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    known = library()
    if name not in known:
        raise SuiteError(no_such("suite", name, known) + "; or give the path of a .yaml file")
    return known[name]


def _criteria_named(content: Mapping[str, Any]) -> Iterator[str]:
    """Criteria of a suite that did not pass the schema, as far as they can be made out."""
    methods = content.get("methods")
    for one in methods if isinstance(methods, list) else ():
        name = one.get("criterion") if isinstance(one, dict) else one
        if isinstance(name, str) and name not in named_presets():
            yield name
