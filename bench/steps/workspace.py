"""What a job needs at hand: data, bases and traced networks, kept from one job to the next."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from criteria.evidence.meter import Cost
from criteria.training import Rider
from reports.records import Accuracy, Costs, Epoch, Measurements, content_key
from suites import Recipe
from suites.faults import meant

from ..data.datasets import Dataset, divide, read
from ..data.reader import Source
from ..errors import DataError, ModelError, fault
from ..models.checkpoint import local_checkpoint
from ..models.registry import fresh
from ..plan.jobs import DenseJob, EarlyJob, PreparedJob, Standpoint
from ..pruning.cost import count_macs, count_params
from ..pruning.network import Network
from ..seeds import generator, seed
from ..store.provenance import machine
from ..store.sealed import read_json, wanted, write_json
from ..store.store import Store
from ..store.weights import Checkpoint, load_weights, save_weights
from ..tasks.task import Tally
from ..training.measure import evaluate
from ..training.mixing import Mixing
from ..training.train import Trained, train
from .layout import channels_last

T = TypeVar("T")
KEPT = 2  # bases that a worker keeps at hand; jobs of one base follow each other


@dataclass(frozen=True)
class Settings:
    """Where things lie; the same for all jobs of a run. Plain, so that workers can be sent it."""

    results: Path
    data_root: Path
    download: bool = False
    plugins: tuple[Path, ...] = ()
    device: str = "cpu"  # or cuda: the worker's first GPU
    loaders: int = 1  # threads of a worker that decode image files


@dataclass(frozen=True, eq=False)
class Base:
    """A trained network, traced and checked."""

    network: Network
    data: Dataset
    # accuracy, macs, params: of the dense network; of a prepared one, of the base as it was
    accuracy: Accuracy
    macs: int
    params: int
    sha256: str  # of its stored weights; `trained_sha256`: of the base as it was
    trained: nn.Module  # the base as it was, which distillation learns from
    trained_sha256: str
    history: list[Epoch]  # of its training, an entry an epoch
    # images_prepared, prepare_s: what the preparation took, of a prepared base
    images_prepared: int = 0
    prepare_s: float = 0.0
    # What was counted in cut networks, by the units gone of each group: shapes decide it
    counted: dict[tuple[int, ...], dict[Any, int]] = field(default_factory=dict)
    # What came of them, with the key of whose it was, by all that decides it
    came: dict[str, tuple[Measurements, Costs, str]] = field(default_factory=dict)

    @cached_property
    def on_train(self) -> Tally:
        """The base as it was on the training split; most suites do not ask."""
        return evaluate(self.trained, self.data.train, self.data.task)


@dataclass
class Workspace:
    """A worker's bench: its store and what it has loaded so far."""

    settings: Settings
    _datasets: dict[Hashable, Any] = field(default_factory=dict)
    _bases: dict[Hashable, Any] = field(default_factory=dict)
    _layouts: dict[str, bool] = field(default_factory=dict)

    @property
    def device_name(self) -> str:
        """`cpu`, or what the GPU is called."""
        return torch.cuda.get_device_name() if self.settings.device == "cuda" else "cpu"

    @property
    def store(self) -> Store:
        return Store(self.settings.results)

    def dataset(self, job: DenseJob) -> Dataset:
        """The images of a base in its own split; bases of one dataset share them in memory."""
        at, device = self.settings, torch.device(self.settings.device)
        source = Source(job.dataset, at.data_root, self.store.root, at.download, device, at.loaders)
        given = _cached(self._datasets, job.dataset.model_dump_json(), lambda: read(source))
        data = divide(source, given, job.split)
        last = self._channels_last(job, data)
        return data.worked(channels_last=last, **job.evaluation.model_dump())

    def _channels_last(self, job: DenseJob, data: Dataset) -> bool:
        """Whether its network is faster so on this device, for all workers and after any resume."""
        capability = torch.backends.cpu.get_cpu_capability()
        place = [machine(self.device_name), capability, dict(data.shape), data.task.name]
        key = content_key([job.model.identity, job.code, *place])
        if key not in self._layouts:
            file = self.store.path("layouts", key, ".json")
            make = partial(self.fresh_model, job, data)
            self._layouts[key] = channels_last(file, make, data.noise(), data.task)
        return self._layouts[key]

    def forget(self) -> None:
        """Load anew whatever is asked for next."""
        self._datasets.clear()
        self._bases.clear()

    def fresh_model(self, job: DenseJob, data: Dataset) -> nn.Module:
        """The network before any training of ours."""
        spec = local_checkpoint(job.model, self.settings.data_root)
        of = seed("base-init", **job.axes)
        return fresh(spec, of, data.noise(), data.task, **data.shape)

    def trace(self, job: DenseJob, model: nn.Module, data: Dataset) -> Network:
        """The network of a job's model, without the channels that it keeps whole. Raises ModelError
        where `ignored` names a layer that there is not."""
        layers = dict(model.named_modules())
        for name in job.model.ignored:
            if name not in layers:
                near = meant(name, layers)
                raise ModelError(f"models: {job.model.name} has no layer {name!r} to ignore{near}")
        return Network.trace(model, data.noise(), [layers[name] for name in job.model.ignored])

    def base(self, job: DenseJob) -> Base:
        """A stored base, of a network that was found to be cut rightly before anything ran. Raises
        DataError where the data are not those that it was trained on."""
        return _cached(self._bases, job.key, lambda: self._load(job))

    def same_images(self, job: DenseJob) -> None:
        """Raises DataError where a stored base was not trained on the images that there are now."""
        if (meta := read_json(self._file(job, ".json"))) is not None:
            _refuse_other_images(job, self.dataset(job), meta)

    def _load(self, job: DenseJob) -> Base:
        data = self.dataset(job)
        meta = wanted(read_json, self._file(job, ".json"))
        _refuse_other_images(job, data, meta)
        model = self._model(job, data, meta["sha256"])
        network = self.trace(job, model, data)
        found = Base(
            network,
            data,
            Accuracy(**meta["accuracy"]),
            count_macs(network.model, network.inputs),
            count_params(network.model),
            meta["sha256"],
            model,
            meta["sha256"],
            [Epoch(**one) for one in meta["history"]],
        )
        if not isinstance(job, PreparedJob):
            return found
        base = self.base(job.base)
        return replace(
            found,
            accuracy=base.accuracy,
            trained=base.network.model,
            trained_sha256=base.sha256,
            images_prepared=meta["images_trained"],
            prepare_s=meta["seconds"],
        )

    def early(self, job: EarlyJob, data: Dataset) -> nn.Module:
        """A stored base as it was after an epoch; it has the base's groups."""
        return self._model(job, data, wanted(read_json, self._file(job, ".json"))["sha256"])

    def _model(self, job: DenseJob, data: Dataset, sha256: str) -> nn.Module:
        model = self.fresh_model(job, data)
        load_weights(model, self._file(job, ".pt"), sha256)
        return model.eval()

    def save_base(self, job: DenseJob, model: nn.Module, meta: dict[str, Any]) -> None:
        """Weights first, then the file that says they are whole."""
        sha256 = save_weights(model, self._file(job, ".pt"))
        found = {**meta, "sha256": sha256, "identity": job.identity}
        write_json(self._file(job, ".json"), found)

    def _file(self, job: DenseJob, suffix: str) -> Path:
        return self.store.path("bases", job.key, suffix)

    def checkpoint(self, key: str, stands_on: str, carried: Cost | None = None) -> Checkpoint:
        """Where the training of a job is kept while it lasts; arguments as of `Checkpoint`.

        One begun on a CPU does not go on elsewhere, as its bits would be others.
        """
        kind = "" if self.settings.device == "cpu" else f"-{self.settings.device}"
        return Checkpoint(self.store.path("checkpoints", key + kind, ".pt"), stands_on, carried)

    def train(
        self,
        model: nn.Module,
        base: Base,
        recipe: Recipe,
        order: int,  # the seed
        rider: Rider,
        key: str,
        carried: Cost | None = None,
    ) -> Trained:
        """Train on the data of a base, with it as the teacher; a killed training goes on. `key` and
        `carried` are those of its checkpoint."""
        on = self.checkpoint(key, base.sha256, carried)
        return train(model, base.data, recipe, order, rider, teacher=base.trained, checkpoint=on)

    def forget_checkpoints(self, key: str) -> None:
        """Remove what was kept of a job's training, now that it is done and its result stored."""
        for file in (self.store.root / "checkpoints").glob(f"{key}*.pt"):
            file.unlink()

    def calibration(self, at: Standpoint, data: Dataset) -> list[tuple[Tensor, Tensor]]:
        """The batches that criteria may see: the same for all of them; none where none looks.

        Targets are labels [n], or probabilities [n, classes] where images are mixed.
        """
        wanted, augment = at.calibration, at.alteration.augment
        if wanted is None:
            return []
        if wanted.images > len(data.train):
            there = {"name": data.name, "there": len(data.train)}
            raise DataError(fault("calibration", asked=wanted.images, **there))
        order = torch.randperm(len(data.train), generator=generator("calibration", **at.axes))
        batches = data.train.batches(
            wanted.batch_size,
            indices=order[: wanted.images],
            generator=generator("calibration-augmentation", **at.axes) if augment else None,
            augment=augment,
            jitter=at.alteration.color_jitter,
        )
        mixing = Mixing(at.alteration, data.classes, seed("calibration-mixing", **at.axes))
        return [mixing(*batch, number) for number, batch in enumerate(batches)]


def _cached(kept: dict[Hashable, Any], key: Hashable, make: Callable[[], T]) -> T:
    """The least recently used is forgotten first."""
    kept[key] = kept.pop(key) if key in kept else make()
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return kept[key]


def _refuse_other_images(job: DenseJob, data: Dataset, meta: Mapping[str, Any]) -> None:
    if meta["dataset_digest"] != data.digest:
        raise DataError(fault("other_images", name=data.name, job=job))
