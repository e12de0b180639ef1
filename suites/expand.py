"""A suite's way from its name to its trials: find the file, apply overrides, span the product."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import yaml
from pydantic import ValidationError

from .faults import fault, faults_in, no_such
from .fidelity import FidelitySuite
from .files import SuiteError, parse_yaml, read_yaml
from .method import MethodSpec, matched_name, named_presets
from .overrides import PAPER, overridden, rescale, scale_names, to_blame
from .problem import DatasetSpec, ModelSpec, problem_name
from .protocol import RecoverySpec
from .schema import AnySuite, Suite

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
    """One trial of a comparison."""

    matched: str | None  # a control selects by this criterion, under the layer widths of `method`
    budget: float  # share of the suite's cost that is kept
    recovery: RecoverySpec

    @property
    def method_name(self) -> str:
        return matched_name(self.method, self.matched) if self.matched else self.method.name


@overload
def expand(suite: Suite) -> Iterator[Case]: ...
@overload
def expand(suite: FidelitySuite) -> Iterator[Probe]: ...
def expand(suite: Suite | FidelitySuite) -> Iterator[Probe]:
    """All trials of a suite, problem by problem and base by base."""
    bases = range(suite.first_base, suite.first_base + suite.bases)
    seeds = product(bases, range(suite.repeats))
    for (dataset, model), (base, repeat) in product(suite.problems, seeds):
        place = dataset, model, base, repeat
        for method in suite.methods_on(model):
            if isinstance(suite, FidelitySuite):
                yield Probe(*place, method)
                continue
            kept, recoveries = suite.budgets_of(model).kept, suite.recoveries_of(method)
            for matched, budget, recovery in product([None, *method.matched], kept, recoveries):
                yield Case(*place, method, matched, budget, recovery)


def library() -> dict[str, Path]:
    """The suites that come with the project."""
    return {path.stem: path for path in sorted(LIBRARY.glob("*.yaml"))}


def scales_of(name: str) -> list[str]:
    """What `load_suite` takes as the scale of this suite, largest first. Raises SuiteError where
    there is no such suite, or it is no YAML, or its scales are none."""
    path = _find(name)
    return scale_names(_read(path), path)


def load_suite(
    name: str,
    overrides: Sequence[str] = (),
    *,
    scale: str | None = None,
    recorded: Mapping[str, str] = MappingProxyType({}),
) -> Suite | FidelitySuite:
    """A suite by its name in the library or by path, or by that of one that has been run.

    Args:
        name: `quickstart`, or `path/to/suite.yaml`.
        overrides: `key=value` with dots into the file and a value in YAML:
            `calibration.images=64`, `models=[resnet20]`, `methods.0.criterion=l2`.
        scale: apply that one of the suite's own `scales` first; `paper` is the file as it stands.
        recorded: suites that have been run, `resolved`, by name; those of the library come first.

    Raises SuiteError: no such suite or scale, not YAML, an unknown key, a wrong type; names the
    key, and the file or the override that is at fault.

    >>> suite = load_suite("quickstart", ["calibration.images=64"])
    >>> suite.suite, suite.budgets.kept, suite.calibration.images
    ('quickstart', [0.7, 0.5], 64)
    """
    path = _find(name, recorded)
    known = recorded.get(str(path))
    content = _read(path) if known is None else parse_yaml(known, str(path))
    if known is None:
        _refuse_name_of_library(content, path)
    elif "latency" in content:  # written before `measure` took its place
        content["measure"] = {} if content.pop("latency") else {"deployed": []}
    if scale is not None:
        rescale(content, scale, path)
    changed = overridden(content, overrides)
    suite = _checked(changed)
    if isinstance(suite, list):

        @cache  # each fault asks for nearly the same
        def faults(fewer: tuple[str, ...]) -> list[str]:
            found = _checked(overridden(content, fewer))
            return found if isinstance(found, list) else []

        said = [f"{to_blame(one, overrides, faults) or path}: {one}" for one in suite]
        raise SuiteError("\n".join(said), _criteria_named(changed))
    # What is taken out by a scale or on the command line may leave recipes that nothing follows.
    if suite.unfollowed and scale in (None, PAPER) and not overrides and known is None:
        lost = ", ".join(key for key, _ in suite.unfollowed)
        raise SuiteError(f"{path}: {fault('unfollowed', keys=lost)}")
    told, last = suite.description, {one.partition("=")[0].strip(): one for one in overrides}
    if "suite" in last and "description" not in last:
        others = [one for key, one in last.items() if key != "suite"]
        told = f"{content.get('suite')}, changed: {', '.join(others) or 'its name alone'}"
    elif suite.at_scale and not told:
        runs = ", ".join(problem_name(*one) for one in suite.problems)
        told = f"A smaller version of a suite (scale {suite.at_scale}), of {runs}."
    return suite.model_copy(update={"description": told} if told != suite.description else {})


def resolved(suite: AnySuite) -> str:
    """A suite as a file, in YAML, that plans the same trials anywhere: with the recipes it follows.

    What nobody has set is left to its default, whose very type (0, or 0.0) is in keys.
    """
    recipes = {name: one for name, one in suite.all_recipes.items() if name in suite.used_recipes}
    whole = suite.model_copy(update={"recipes": recipes})
    content = whole.model_dump(by_alias=True, exclude_unset=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _checked(content: Mapping[str, Any]) -> Suite | FidelitySuite | list[str]:
    """The suite, or what is wrong with it."""
    name = str(content.get("kind", "comparison"))
    if name not in KINDS:
        return [no_such("kind of suite", name, KINDS)]
    try:
        return KINDS[name].model_validate(content)
    except ValidationError as error:
        return list(faults_in(error, KINDS[name]))


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise SuiteError(f"{path}: a suite is a mapping with keys such as `suite` and `methods`")
    return content


def _refuse_name_of_library(content: Mapping[str, Any], path: Path) -> None:
    """Reports and MLflow experiments go by a suite's name, so two suites must not share one."""
    name = content.get("suite")
    own = library().get(name) if isinstance(name, str) else None
    if own is not None and not own.samefile(path) and read_yaml(own) != content:
        raise SuiteError(f"{path}: {fault('of_library', name=name)}")


def _find(name: str, recorded: Collection[str] = ()) -> Path:
    """Where a suite lies; of one that is only recorded, its name."""
    path, known = Path(name), library()
    if path.suffix in (".yaml", ".yml") or (name in recorded and name not in known):
        return path
    if name not in known:
        names = dict.fromkeys([*known, *recorded])
        larger = [(one, of) for one in known if name.startswith(one) for of in scales_of(one)]
        scaled = {f"{one}-{of}": f"; or ask for {one} --scale {of}" for one, of in larger}
        or_else = scaled.get(name, "") + "; or give the path of a .yaml file"
        raise SuiteError(no_such("suite", name, names) + or_else)
    return known[name]


def _criteria_named(content: Mapping[str, Any]) -> Iterator[str]:
    """Criteria of a suite that did not pass the schema, as far as they can be made out."""
    methods = content.get("methods")
    for one in methods if isinstance(methods, list) else ():
        name = one.get("criterion") if isinstance(one, dict) else one
        if isinstance(name, str) and name not in named_presets():
            yield name
