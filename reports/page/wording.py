"""Parts of a suite in the words of the field, for sentences of templates and warnings."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from suites.method import MethodSpec, PhaseSpec
from suites.problem import ModelSpec, problem_name
from suites.protocol import Rewind, pattern
from suites.recipe import Recipe
from suites.schema import AnySuite, Suite
from suites.section import Chosen

from ..formats import percent
from ..words import Words

T = TypeVar("T")


def own(model: ModelSpec) -> list[str]:
    """What is otherwise on this model than on the suite's others, beside its recipes."""
    names = ("budgets", "calibration", "selection")
    sections = {name: section for name in names if (section := getattr(model, name))}
    said = [
        f"{name} ({options(section.model_dump(exclude_unset=True))})"
        for name, section in sections.items()
    ]
    said += [f"{name} ({options(changes)})" for name, changes in model.methods.items()]
    said += [f"all outputs of {', '.join(model.ignored)} stay"] if model.ignored else []
    return said


def given(suite: AnySuite) -> list[str]:
    """Titles of the models whose bases all start from one set of weights."""
    return [model.title for model in suite.models if model.given]


def described(method: MethodSpec, suite: AnySuite) -> str:
    """A method in words, with all in which it differs from the suite's defaults."""
    masks = isinstance(suite, Suite) and suite.budgets.unstructured
    return _WORDS("method", "described", method=method, masks=masks)


def recipe_words(recipe: Recipe) -> str:
    """How a recipe trains; each option that is not its default is told."""
    return _WORDS("recipe", "described", recipe=recipe)


def named(phase: PhaseSpec | Chosen) -> str:
    """`sparse with strength 0.1`."""
    return phase.name + (f" with {options(phase.options)}" if phase.options else "")


def options(given: Mapping[str, Any]) -> str:
    """`steps 40, rectify`; inner options in brackets."""
    words = []
    for key, value in given.items():
        if isinstance(value, Mapping):
            words.append(f"{key} ({options(value)})" if value else key)
        else:
            words.append(f"{key} {value}")
    return ", ".join(words)


def by_budget(given: T | Mapping[float, T], form: Callable[[T], str] = str) -> str:
    """A setting, or `4 (at 0.5), 6 (at 0.4)`."""
    if not isinstance(given, Mapping):
        return form(given)
    return ", ".join(f"{form(one)} (at {budget:g})" for budget, one in given.items())


def rewound(rewind: Rewind) -> str:
    """What is left is trained like this."""
    return _WORDS("alike", "rewound", rewind)


def budgets(suite: Suite) -> str:
    """The budgets of all models; of models with their own, theirs as well."""
    own_budgets = ((suite.budgets_of(model), model.title) for model in suite.models)
    return _by_model(
        (", ".join(f"{one:g}" if of.cost == "threshold" else percent(one) for one in of.kept), name)
        for of, name in own_budgets
    )


def calibration(suite: AnySuite) -> str:
    """What criteria see; of models with their own, theirs as well."""
    words = partial(_WORDS, "calibration", "described")
    return _by_model((words(suite.calibration_of(one)), one.title) for one in suite.models)


def halved(suite: AnySuite) -> list[str]:
    """What of a suite's measuring is in bfloat16 by its own declaration."""
    said = ["evaluation"] if isinstance(suite, Suite) and suite.evaluation.precision else []
    seen = any(suite.calibration_of(model).half for model in suite.models)
    return said + ["calibration"] * seen


def patterned(suite: Suite) -> bool:
    """Whether some method keeps N of every M weights."""
    scopes = [suite.selection.scope, *(one.scope for one in suite.methods if one.scope)]
    return any(map(pattern, scopes))


def splits(suite: AnySuite) -> str:
    """Whether each base has another train/validation split, or there is none, where they differ."""
    words = []
    for dataset, model in suite.problems:
        own_split = suite.own_splits(dataset, model)
        text = "drawn anew for each base" if own_split else "the same for all bases"
        none = "none, as all are learned from", dataset.title
        words.append((text, model.title) if dataset.validation else none)
    return _by_model(words)


def _by_model(said: Iterable[tuple[str, str]]) -> str:
    """What all models have, or each text with the models that it is true of."""
    words: dict[str, dict[str, None]] = {}
    for text, model in said:
        words.setdefault(text, {})[model] = None
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{text} ({', '.join(models)})" for text, models in words.items())


def recipes(suite: AnySuite) -> list[tuple[str, str]]:
    """Each recipe that the suite follows, by name and in words; with the problems of its own."""
    followed: dict[tuple[str, str], list[str]] = {}
    for dataset, model in suite.problems:
        known = suite.recipes_on(dataset, model)
        for name in suite.recipes_followed(model):
            words = recipe_words(known[name])
            followed.setdefault((name, words), []).append(problem_name(dataset, model))
    names = [name for name, _ in followed]
    return [
        (f"{name} ({', '.join(where)})" if names.count(name) > 1 else name, words)
        for (name, words), where in sorted(followed.items())
    ]


_WORDS = Words("settings.yaml", by_budget, named, options, pattern, percent=percent)
