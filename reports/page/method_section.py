"""The methods section, written from the suite: what was done, in the words of the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from suites.method import FinetuningSpec, IterativeSpec, MethodSpec, PhaseSpec
from suites.problem import DatasetSpec, ModelSpec, problem_name
from suites.protocol import RecoverySpec
from suites.recipe import Recipe
from suites.schema import AnySuite, Suite

if TYPE_CHECKING:
    from suites.protocol import Axis

    from ..analysis.results import Results

WORDS: dict[Axis, str] = {
    "macs": "MACs",
    "params": "parameters",
    "channels": "channels",
    "weights": "weights",
    "threshold": "thresholds",
}


def method_section(results: Results) -> list[tuple[str, list[str]]]:
    """Heading and sentences (each a paragraph of its own, or an item) of every part."""
    suite = results.suite
    return [
        ("Models and data", _problems(suite)),
        ("Bases", _bases(suite)),
        ("Methods", [described(one, suite) for one in suite.methods]),
        ("Budgets and selection", _selection(suite)),
        ("Calibration", _calibration(suite)),
        ("Recovery", [_recovery(one, suite) for one in suite.recoveries]),
        ("Recipes", [f"{name}: {words}" for name, words in recipes(suite)]),
        ("Measurement", _measurement(suite)),
        ("Statistics", _statistics(results)),
    ]


def _problems(suite: Suite) -> list[str]:
    sentences = [_dataset(one) for one in suite.datasets]
    sentences += [_model(one, suite) for one in suite.models]
    return sentences


def _dataset(one: DatasetSpec) -> str:
    held = f"{100 * one.validation:g} % of its training images are held out for validation"
    parts = [f"{one.title}: {held}"]
    if one.normalize:
        parts.append(f"normalised as {one.normalize}")
    if one.image_size:
        parts.append(f"images of {one.image_size} × {one.image_size}")
    for what, count in (("training", one.train_images), ("test", one.test_images)):
        if count:
            parts.append(f"a seeded choice of {count} {what} images")
    return ", ".join(parts) + "."


def _model(one: ModelSpec, suite: Suite) -> str:
    name = one.title
    options = "".join(f", {key} {value}" for key, value in one.options.items())
    source = one.weights and f"torchvision's weights {one.weights}"
    source = source or (one.checkpoint and "a given checkpoint")
    if one.recipe is False:
        return f"{name}{options}: {source}, as they are.{_own(one)}"
    recipe = one.recipe or suite.base_recipe
    text = f"{name}{options}: {source or 'fresh weights'}, trained by the recipe {recipe}."
    return text + _own(one)


def _own(one: ModelSpec) -> str:
    """What is otherwise on this model than on the suite's others; its recipes are told apart."""
    sections = {"budgets": one.budgets, "calibration": one.calibration, "selection": one.selection}
    said = [
        f"{name} ({_options(section.model_dump(exclude_unset=True))})"
        for name, section in sections.items()
        if section
    ]
    said += [f"{name} ({_options(changes)})" for name, changes in one.methods.items()]
    said += [f"all outputs of {', '.join(one.ignored)} stay"] if one.ignored else []
    return f" Of its own: {'; '.join(said)}." if said else ""


def _bases(suite: Suite) -> list[str]:
    given = [one.title for one in suite.models if one.checkpoint or one.weights]
    text = (
        f"Each problem (a model on a dataset) has {_count(suite.bases, 'base')}, trained apart "
        "with seeds of their own. All methods prune the same bases, so every comparison is paired."
    )
    if given and suite.bases > 1:
        text += (
            f" The bases of {', '.join(given)} are adaptations of one checkpoint, not independent."
        )
    if suite.repeats > 1:
        text += (
            f" On each base everything is repeated {suite.repeats} times, with other calibration "
            "images and another order of finetuning."
        )
    return [text]


def described(method: MethodSpec, suite: AnySuite) -> str:
    """A method in words, with all in which it differs from the suite's defaults."""
    parts = [] if method.name == method.criterion else [f"criterion {method.criterion}"]
    parts += [_options(method.options)] if method.options else []
    if method.scope:
        parts.append(f"{method.scope} ranking")
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
    return phase.name + (f" with {_options(phase.options)}" if phase.options else "")


def _options(options: Mapping[str, Any]) -> str:
    """`steps 40, rectify`; inner options in brackets."""
    words = []
    for key, value in options.items():
        if isinstance(value, Mapping):
            words.append(f"{key} ({_options(value)})" if value else key)
        else:
            words.append(f"{key} {value}")
    return ", ".join(words)


def _iterative(spec: IterativeSpec) -> str:
    text = f"scored anew in {spec.steps} {spec.schedule} steps"
    if spec.to is not None:
        text += f" to {100 * spec.to:g} % of the cost, of which those to the last budget are taken"
    if spec.recover:
        when = "after each" if spec.recover_at == "steps" else "where a budget is met"
        text += f", trained by the recipe {spec.recover} {when}"
    return text


def _selection(suite: Suite) -> list[str]:
    budgets, chosen = suite.budgets, suite.selection
    axis, kept = WORDS[budgets.cost], _kept(suite)
    if budgets.cost == "threshold":
        asked = f"Thresholds of the methods' own knob: {kept}; the MACs kept follow from it."
    else:
        asked = f"Every method keeps {kept} of the dense network's {axis}, within 1 % of them."
    if budgets.unstructured:
        return [
            asked,
            f"{chosen.scope.capitalize()} ranking of the single weights of all convolutions and "
            "linear layers unless a method says otherwise; biases and norms always stay. Masks run "
            "on dense kernels, so MACs are theoretical and no latency is measured.",
        ]
    limits = (
        f"at least {_count(chosen.min_channels, 'channel')} and {100 * chosen.protect:g} % of a "
        f"group stay, widths are rounded to {chosen.round_to}"
    )
    limits += "".join(f", of {place} {100 * share:g} %" for place, share in chosen.layers.items())
    coupled = "" if chosen.coupled else "; groups that several layers make stay whole"
    return [
        asked,
        f"{chosen.scope.capitalize()} ranking unless a method says otherwise; {limits}{coupled}. "
        "Channels are removed from the network, not masked.",
    ]


def _kept(suite: Suite) -> str:
    """The budgets; of models with their own, theirs as well."""
    words: dict[str, list[str]] = {}
    for model in suite.models:
        budgets = suite.budgets_of(model)
        plain = budgets.cost == "threshold"
        kept = ", ".join(f"{one:g}" if plain else f"{100 * one:g} %" for one in budgets.kept)
        words.setdefault(kept, []).append(model.title)
    return _by_model(words)


def _calibration(suite: AnySuite) -> list[str]:
    words: dict[str, list[str]] = {}
    for model in suite.models:
        seen = suite.calibration_of(model)
        augmented = "cropped and mirrored at random" if seen.augment else "without augmentation"
        text = f"{seen.images} training images {augmented}, in batches of {seen.batch_size}"
        words.setdefault(text, []).append(model.title)
    return [f"Criteria see {_by_model(words)}: the same images in the same order for all methods."]


def _by_model(words: Mapping[str, Sequence[str]]) -> str:
    """What all models have, or each text with the models that it is true of."""
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{text} ({', '.join(models)})" for text, models in words.items())


def _recovery(one: RecoverySpec, suite: Suite) -> str:
    if one.kind == "none":
        return "none: the network is measured as the cut leaves it."
    if one.kind == "bn":
        return "bn: statistics of the norm layers from the calibration images, no training."
    text = f"{one.name}: finetuning by the recipe {one.recipe}, the same for all methods"
    if one.total_epochs:
        return text + (
            f", for what is left of {one.total_epochs} epochs after a method's own training: equal "
            "training compute."
        )
    trains = any(each.recipes for each in suite.methods)
    return text + (", on top of what a method trains itself." if trains else ".")


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
    parts = [_count(recipe.epochs, "epoch"), f"batches of {recipe.batch_size}"]
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


def _measurement(suite: Suite) -> list[str]:
    sentences = [
        "Top-1 and top-5 on the test split after the last epoch, which chose nothing; the epoch "
        "that was best on validation stands beside it. Retained top-1 is top-1 of the pruned "
        "network minus that of its own dense network, in percentage points.",
        "MACs are multiply-adds of one image, counted by torch's dispatcher on the pruned network. "
        "Compression is dense parameters over parameters kept, speed-up dense MACs over MACs kept; "
        "the tables give the shares kept, their inverses.",
    ]
    if suite.latency and not suite.budgets.unstructured:
        sentences.append(
            "Latency is the median of repeats, pruned and dense network timed in turn."
        )
    return sentences


def _statistics(results: Results) -> list[str]:
    analysis, power = results.suite.analysis, results.power
    failing = {
        "worst": "takes the worst rank there",
        "drop": "takes the problem out of its comparisons",
    }
    return [
        f"Declared before any run: control {analysis.control}, level {analysis.alpha:g}, region of "
        f"practical equivalence ± {analysis.rope:g} points. A method that failed on a problem "
        f"{failing[analysis.failures]}.",
        "The unit is the problem. Repeats inside it are averaged, and budgets become one number, "
        "the area under the curve of retained top-1 over log compression; none is ever counted as "
        "a further problem.",
        "On one problem: differences paired by base, with t-intervals over bases, conditional on "
        "that problem. Over problems: exact two-sided Wilcoxon signed-rank test, Holm over all "
        f"comparisons with the control ({power.comparisons}); matched controls are a family of "
        "their own. Beside it: Friedman's test with Iman and Davenport's F, Hodges–Lehmann shifts, "
        "matched-pairs rank-biserial correlation, the share of problems won, and the Bayesian "
        "signed-rank test with the region of practical equivalence.",
    ]


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"
