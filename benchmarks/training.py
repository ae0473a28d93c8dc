"""How fast the real training step is, against its own arithmetic and against a plain torchvision-style loop."""

import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from calibench import regimes
from calibench.backbones.classifier import build
from calibench.planning.settings import regime_settings, settings_of
from calibench.regimes.catalog import catalog
from calibench.training import loop, optim
from calibench.training.device import autocast, set_determinism
from calibench.training.graphs import StepGraph
from calibench.training.job import make_job
from calibench.training.randomness import epoch_order
from calibench.training.step import Batch, batches
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import material
from benchmarks.measuring import Result, interleaved, median, median_ratio

# torchvision's own names; on a CPU the small input form at 64 px, on a GPU the full one at 224 px
BACKBONES = ("resnet50", "mobilenet_v2", "vgg19")
CPU_RECIPE = {"mobilenet_v2": {"precision": "float32"}}  # as config/radimagenet_mini.yaml


def device_of() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Let queued work on a GPU end."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def with_flags(deterministic: bool, work: Callable[[], None]) -> Callable[[], None]:
    """``work`` under switches of its own: torch's are global, and those of the last job built would hold for all."""

    def done() -> None:
        set_determinism(deterministic)
        torch.backends.cudnn.benchmark = False  # torch's own choice, also for the plain loop
        work()

    return done


def settings_for(config: dict[str, Any], backbone: str, regime: str = "hard") -> dict[str, Any]:
    """Settings of a run; ``input: small`` for VGG on small images."""
    settings = settings_of(config, regime, "bench", backbone, 0)
    small = backbone == "vgg19" and config["datasets"]["bench"]["store"]["size"] < 224
    settings["model"] = settings["model"] | {"input": "small" if small else "full"}
    return settings


def bench_job(config: dict[str, Any], store: Path, backbone: str, **train_settings: Any) -> loop.Job:
    """A real job of the trainer on the store."""
    settings = settings_for(config, backbone)
    settings["train"] |= train_settings
    set_determinism(settings["train"]["deterministic"])
    job, _, _ = make_job(settings, store, store / "runs" / backbone, [], device_of())
    job.model.train()
    job.regime.train()
    return job


class Steps:
    """The trainer's own steps, endlessly, ``count`` of them at a call; only those of equal batches after an epoch's first."""

    def __init__(self, job: loop.Job, count: int) -> None:
        self.job, self.count = job, count
        self.optimizer = optim.make_optimizer(job.model, job.regime, job.settings["train"])
        self.guard = loop.LossGuard(job)
        self.graph = StepGraph.of(job, self.optimizer)
        self.feed = self._batches()

    def _batches(self) -> Iterator[tuple[int, int, Batch]]:
        images = len(self.job.train.images)
        whole = range(1, images // self.job.settings["train"]["batch_size"])  # the first measures gradients
        for epoch in itertools.count(1):
            made = batches(self.job, epoch, epoch_order(0, epoch, images), whole.start)
            yield from ((epoch, step, batch) for step, batch in zip(whole, made, strict=False))

    def __call__(self) -> None:
        """Train ``count`` steps."""
        for epoch, step, batch in itertools.islice(self.feed, self.count):
            if self.graph and self.graph.takes(epoch, step, batch):
                self.graph.step(self.guard, epoch, step, batch)
            else:
                list(loop.train_step(self.job, self.optimizer, self.guard, epoch, step, batch))
        self.guard.check(self.job)
        wait()


def compute_only(job: loop.Job, count: int):
    """The same network, precision, layout and optimizer on one resident random batch: nothing but arithmetic."""
    options, device = job.settings["train"], job.device
    layout = torch.channels_last if options["memory_format"] == "channels_last" else torch.contiguous_format
    model = build(job.settings["run"]["backbone"], material.CLASSES, job.settings["model"])
    model = model.to(device=device, memory_format=layout).train()
    optimizer = optim.make_optimizer(model, job.regime, options)
    images = torch.randn(options["batch_size"], 3, job.size, job.size, device=device).contiguous(
        memory_format=layout
    )
    targets = torch.randint(material.CLASSES, (options["batch_size"],), device=device)

    def work() -> None:
        for _ in range(count):
            with autocast(device, job.precision):
                logits = model(images)
            loss = nn.functional.cross_entropy(logits.float(), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        wait()

    return work


class Files(Dataset):
    """Decodes an image each time it is asked for, as tutorials do."""

    def __init__(self, root: Path, size: int, count: int) -> None:
        self.paths = sorted(root.rglob("*.png"))[:count]
        assert len(self.paths) == count
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.Resize((size, size), antialias=True),
                v2.RandomCrop(size, padding=size // 8, padding_mode="reflect"),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        path = self.paths[index]
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        return self.transform(image), int(path.parent.name.removeprefix("class"))


def plain_loop(root: Path, job: loop.Job, workers: int, count: int):
    """A plain loop: float32, default layout, cross entropy, torch's default SGD, DataLoader with workers."""
    options, device = job.settings["train"], job.device
    model = build(job.settings["run"]["backbone"], material.CLASSES, job.settings["model"])
    model = model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=options["lr"], momentum=0.9, weight_decay=1e-4)
    # one epoch at a call, so that the workers do not fetch ahead while others are measured
    files = Files(root, job.size, count * options["batch_size"])
    loader = DataLoader(
        files, options["batch_size"], shuffle=True, num_workers=workers, persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )  # fmt: skip

    def work() -> None:
        for images, targets in loader:
            images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
            loss = nn.functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        wait()

    return work


def _speed(costs, images: int) -> str:
    return f"{images / median(costs):.0f} img/s"


def throughput(options) -> list[Result]:
    """The trainer against (a) its own arithmetic and (b) a plain loop on the same images."""
    gpu = device_of().type == "cuda"
    size, batch = (224, 64) if gpu else (64, 32)
    images, steps, rounds = (4096, 40, 7) if gpu else (640, 4, 7)
    if options.quick:
        images, steps, rounds = min(images, 320), max(steps // 4, 1), 3
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "files"
        material.write_images(root, images)
        config = material.experiment(root, size)
        store = material.make_store(config, Path(folder) / "store")
        for backbone in BACKBONES[: 1 if options.quick else None]:
            special = {} if gpu else CPU_RECIPE.get(backbone, {})
            for resident in ("always", "never") if gpu else ("always",):
                job = bench_job(config, store, backbone, batch_size=batch, resident=resident, **special)
                ours, theirs = Steps(job, steps), compute_only(job, steps)
                plain = plain_loop(root, job, options.workers, steps)
                results += _compare(
                    ours, theirs, plain, rounds, f"{backbone}, {size} px, batch {batch}", resident
                )
    return results


def _compare(ours: Steps, theirs, plain, rounds: int, what: str, resident: str) -> list[Result]:
    strict = ours.job.settings["train"]["deterministic"]
    works = {"ours": with_flags(strict, ours), "arithmetic": with_flags(strict, theirs)}
    found = interleaved(works | {"plain": with_flags(False, plain)}, rounds)
    images = ours.count * ours.job.settings["train"]["batch_size"]
    path = "resident" if resident == "always" else "memory map"
    speeds = {name: _speed(costs, images) for name, costs in found.items()}
    results = []
    for name, title, goal in (
        ("arithmetic", "training vs its arithmetic alone", 0.95),
        ("plain", "training vs plain torchvision loop", 2.0),
    ):
        wall, cpu = (median_ratio(found[name], found["ours"], kind) for kind in ("wall", "cpu"))
        cpu = None if name == "plain" else cpu  # its workers' CPU time shows only when they have ended
        title = f"{title} ({what}, {path})"
        results.append(Result(title, speeds["ours"], speeds[name], wall, cpu, goal))
    return results


def around(options) -> list[Result]:
    """Milliseconds of a step beyond its arithmetic, with a network so small that they count; one thread."""
    threads, rounds, steps = torch.get_num_threads(), 20 if options.quick else 200, 10
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "files"
        material.write_images(root, 640)
        config = material.experiment(root, 16)
        store = material.make_store(config, Path(folder) / "store")
        job = bench_job(config, store, "lenet", batch_size=32, resident="always", precision="float32")
        found = interleaved({"ours": Steps(job, steps), "arithmetic": compute_only(job, steps)}, rounds)
    torch.set_num_threads(threads)
    each = {name: [c.cpu / steps * 1000 for c in costs] for name, costs in found.items()}
    ours, bare = (statistics.quantiles(each[name], n=10)[0] for name in ("ours", "arithmetic"))
    title = "work around a step (lenet, 16 px, batch 32, one thread): ms of CPU time"
    note = f"the fastest tenth of {rounds} rounds"
    return [Result(title, f"{ours:.2f} ms", f"{bare:.2f} ms", ours - bare, None, 0.2, "less", note)]


def graphs(options) -> list[Result]:
    """Small networks on a GPU, with each step as a CUDA graph and without; nothing on other machines."""
    results, rounds = [], 3 if options.quick else 9
    if device_of().type != "cuda":
        return results
    for backbone, size, batch in (("lenet", 32, 128), ("resnet20", 32, 128), ("mobilenet_v2", 224, 64)):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "files"
            material.write_images(root, 2560)
            config = material.experiment(root, size)
            store = material.make_store(config, Path(folder) / "store")
            works = {
                name: Steps(
                    bench_job(config, store, backbone, batch_size=batch, cuda_graph=name == "graph"), 18
                )
                for name in ("graph", "plain")
            }
            found = interleaved(works, rounds)
        speeds = [_speed(found[name], 18 * batch) for name in works]
        ratio = median_ratio(found["plain"], found["graph"])
        results.append(Result(f"step as a CUDA graph ({backbone}, {size} px, batch {batch})", *speeds, ratio))
    return results


def regime_steps(options) -> list[Result]:
    """Time of a whole training step under every regime, as a ratio to hard labels."""
    gpu = device_of().type == "cuda"
    size, batch, backbone = (224, 64, "resnet50") if gpu else (64, 64, "resnet50")
    rounds = 3 if options.quick else 9
    names = ["hard", "ols"] if options.quick else sorted(catalog(), key=lambda name: name != "hard")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "files"
        material.write_images(root, 160)
        config = material.experiment(root, size)
        store = material.make_store(config, Path(folder) / "store")
        job = bench_job(config, store, backbone, batch_size=batch, resident="always")
        works = {name: Steps(_with_regime(job, config, name), 1) for name in names}
        found = interleaved(works, rounds)
    hard = median(found["hard"])
    rows, worst = [], {}
    for name in names[1:]:
        wall, cpu = (median_ratio(found[name], found["hard"], kind) for kind in ("wall", "cpu"))
        teacher = works[name].job.teacher is not None
        rows.append([f"`{name}`", f"{wall:.3f}", f"{cpu:.3f}", "second network" if teacher else ""])
        worst[name] = (wall, cpu)
    wall, cpu = worst["ols"]
    what = f"{backbone}, {size} px, batch {batch}"
    line = f"{hard * 1000 * wall:.0f} ms", f"{hard * 1000:.0f} ms"
    return [Result(f"step under OLS vs hard labels ({what})", *line, wall, cpu, 1.01, "less", rows=rows)]


def _with_regime(job: loop.Job, config: dict[str, Any], name: str) -> loop.Job:
    """The same job under another regime, given random inputs where it builds on another run."""
    count, settings = material.CLASSES, regime_settings(config, name, "resnet50", "")
    regime = regimes.build(name, count, **settings)
    draw = torch.Generator().manual_seed(0)
    arrays = {
        "val_logits": torch.randn(200, count, generator=draw),
        "val_targets": torch.arange(200) % count,
        "matrix": torch.rand(count, count, generator=draw).softmax(1),
        "other_settings": {"alpha": 0.5, "weights": "mix"},
        "train_size": len(job.train.images),
    }
    if regime.inputs:
        regime.prepare(**{key: arrays[key] for key in regime.inputs})
    teacher = None
    if "teacher_logits" in regime.needs:
        teacher = build("resnet50", count, job.settings["model"]).eval().requires_grad_(False)
        teacher = teacher.to(device=job.device, memory_format=torch.channels_last)
    if "feature_map" in regime.needs and job.model.feature_map is None:
        job.model.watch_feature_map()
    return replace(job, regime=regime.to(job.device).train(), teacher=teacher)
