"""Parts of a suite in the words of the field, for sentences of templates and warnings."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from suites.method import FinetuningSpec, IterativeSpec, MethodSpec, PhaseSpec
from suites.problem import ModelSpec, problem_name
from suites.protocol import Axis, Rewind, pattern
from suites.recipe import Recipe
from suites.schema import AnySuite, Suite

from ..formats import counted

T = TypeVar("T")
WORDS: dict[Axis, str] = {
    "macs": "MACs",
    "params": "parameters",
    "channels": "channels",
    "weights": "weights",
    "threshold": "thresholds",
}


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
    parts = [] if method.name == method.criterion else [f"criterion {method.criterion}"]
    parts += [options(method.options)] if method.options else []
    if method.scope:
        parts.append(f"{method.scope} {'of weights' if pattern(method.scope) else 'ranking'}")
    if method.coupled is not None:
        parts.append("all groups" if method.coupled else "residual streams kept whole")
    if method.prepare:
        parts.append(f"before it, the network trains on: {_phase(method.prepare)}")
    if method.iterative:
        parts.append(_iterative(method.iterative))
    if method.procedure:
        parts.append(f"channels leave in a training: {_phase(method.procedure)}")
    if method.finetuning:
        parts.append(f"finetuned by {_named(method.finetuning)}")
    if method.matched:
        masks = isinstance(suite, Suite) and suite.budgets.unstructured
        same = "weight counts" if masks else "widths"
        parts.append(f"controls with its {same}: {', '.join(method.matched)}")
    return method.name + (f" ({'; '.join(parts)})" if parts else "")


def _phase(phase: PhaseSpec) -> str:
    return f"{_named(phase)}, by the recipe {phase.recipe}"


def _named(phase: PhaseSpec | FinetuningSpec) -> str:
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


def _iterative(spec: IterativeSpec) -> str:
    steps = _by_budget(spec.steps, str)
    text = "in one step" if spec.steps == 1 else f"scored anew in {steps} {spec.schedule} steps"
    if spec.to is not None:
        to = _by_budget(spec.to, lambda share: f"{100 * share:g} %")
        text += f" to {to} of the cost, up to the last budget"
    when = "after each" if spec.recover_at == "steps" else "where a budget is met"
    if spec.recover:
        text += f", trained by the recipe {spec.recover} {when}"
    if spec.rewind:
        text += f", {when} {rewound(spec.rewind)}"
    return text


def _by_budget(given: T | Mapping[float, T], form: Callable[[T], str]) -> str:
    """A setting, or `4 (at 0.5), 6 (at 0.4)`."""
    if not isinstance(given, Mapping):
        return form(given)
    return ", ".join(f"{form(one)} (at {budget:g})" for budget, one in given.items())


def rewound(rewind: Rewind) -> str:
    """What is left is trained like this."""
    begins = (
        f"set to the weights and statistics that the base had after epoch {rewind.to}"
        if rewind.what == "weights"
        else "with the weights that it has"
    )
    return f"trained as the base was from epoch {rewind.to} on, {begins}, with fresh momentum"


def budgets(suite: Suite) -> str:
    """The budgets of all models; of models with their own, theirs as well."""
    words: dict[str, list[str]] = {}
    for model in suite.models:
        own_budgets = suite.budgets_of(model)
        plain = own_budgets.cost == "threshold"
        kept = ", ".join(f"{one:g}" if plain else f"{100 * one:g} %" for one in own_budgets.kept)
        words.setdefault(kept, []).append(model.title)
    return _by_model(words)


def calibration(suite: AnySuite) -> str:
    """The images that criteria see; of models with their own, theirs as well."""
    words: dict[str, list[str]] = {}
    for model in suite.models:
        seen = suite.calibration_of(model)
        augmented = "cropped and mirrored at random" if seen.augment else "without augmentation"
        how = f"altered as the recipe {seen.like} does" if seen.like else augmented
        text = f"{seen.images} training images {how}, in batches of {seen.batch_size}"
        words.setdefault(text, []).append(model.title)
    return _by_model(words)


def patterned(suite: Suite) -> bool:
    """Whether some method keeps N of every M weights."""
    scopes = [suite.selection.scope, *(one.scope for one in suite.methods if one.scope)]
    return any(map(pattern, scopes))


def splits(suite: AnySuite) -> str:
    """Whether each base has another train/validation split, or there is none, where they differ."""
    words: dict[str, dict[str, None]] = {}
    for dataset, model in suite.problems:
        own_split = suite.own_splits(dataset, model)
        text = "drawn anew for each base" if own_split else "the same for all bases"
        if dataset.validation:
            words.setdefault(text, {})[model.title] = None
        else:
            words.setdefault("none, as all images are learned from", {})[dataset.title] = None
    return _by_model(words)


def _by_model(words: Mapping[str, Collection[str]]) -> str:
    """What all models have, or each text with the models that it is true of."""
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


def recipe_words(recipe: Recipe) -> str:
    """How a recipe trains; each option that is not its default is told."""
    whole = f" of {recipe.scheduled}, the last of its schedule" if recipe.from_epoch else ""
    parts = [counted(recipe.epochs, "epoch") + whole, f"batches of {recipe.batch_size}"]
    optimizer = "AdamW" if recipe.optimizer == "adamw" else f"SGD with momentum {recipe.momentum:g}"
    parts += [optimizer + (" (Nesterov)" if recipe.nesterov else "")]
    rate = f"learning rate {recipe.learning_rate:g}"
    if recipe.schedule == "step":
        places = ", ".join(f"{100 * one:g} %" for one in recipe.milestones)
        parts.append(f"{rate}, times {recipe.gamma:g} after {places} of the epochs")
    elif recipe.schedule == "triangle":
        parts.append(f"{rate}, a triangle from and to {recipe.gamma:g} of it")
    else:
        parts.append(f"{rate}, {recipe.schedule}")
    if recipe.warmup_epochs:
        begins = f" from {recipe.warmup_factor:g} of the rate" if recipe.warmup_factor else ""
        parts.append(f"{recipe.warmup_epochs:g} warm-up{begins}")
    parts.append(f"weight decay {recipe.weight_decay:g}")
    parts += [f"label smoothing {recipe.label_smoothing:g}"] if recipe.label_smoothing else []
    parts.append(_AUGMENTED[recipe.augment])
    parts += _options_of_training(recipe)
    return ", ".join(parts)


_AUGMENTED = {
    False: "not augmented",
    True: "augmented",
    "trivial": "augmented, with TrivialAugmentWide",
    "randaugment": "augmented, with RandAugment",
}


def _options_of_training(recipe: Recipe) -> Iterator[str]:
    """What few recipes ask for."""
    if recipe.drop_last:
        yield "without an epoch's last batch where it is not full"
    if recipe.accumulate > 1:
        yield f"batches in {recipe.accumulate} parts, each with batch statistics of its own"
    if recipe.color_jitter:
        yield "color jitter of " + ", ".join(f"{one:g}" for one in recipe.color_jitter)
    if recipe.random_erasing:
        yield f"random erasing with probability {recipe.random_erasing:g}"
    if recipe.mixup:
        yield f"mixup with alpha {recipe.mixup:g}"
    if recipe.cutmix:
        yield f"CutMix with alpha {recipe.cutmix:g}"
    if recipe.distill:
        yield (
            f"distilled from the base (weight {recipe.distill.weight:g}, temperature "
            f"{recipe.distill.temperature:g})"
        )
    if recipe.ema:
        every = f" every {recipe.ema.every} steps" if recipe.ema.every > 1 else ""
        yield f"weights averaged with decay {recipe.ema.decay:g}{every}"
    if recipe.grad_clip:
        yield f"gradients clipped at {recipe.grad_clip:g}"
    if recipe.amp:
        yield f"{recipe.amp} mixed precision"
    if recipe.channels_last:
        yield "channels last"
    if recipe.compile:
        yield "compiled"
