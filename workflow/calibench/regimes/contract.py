"""What must be true for every regime, with any formula: checks for the tests and for ``calibench check-regime``."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from calibench.errors import UserError
from calibench.regimes.base import Regime

Make = Callable[[int], Regime]  # from the number of classes to a fresh regime
CLASSES, TRAIN_SIZE = 5, 40
WAITING = {"_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero", "unique"}


def _random(batch: int, classes: int, scale: float = 2.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=generator) * scale
    return logits, torch.randint(classes, (batch,), generator=generator)


def _extreme() -> tuple[Tensor, Tensor]:
    logits, targets = _random(6, 5, seed=6)
    logits = logits + 1e4 * torch.tensor([[1, -1, 0, -1, 0], [-1, 1, -1, -1, 0], [0, 0, -1, -1, -1]] * 2)
    targets[:2] = torch.tensor([0, 3])  # one certainly right, one certainly wrong
    return logits, targets


CASES = {
    "odd_batch": _random(7, 5),
    "even_batch": _random(8, 4, seed=1),
    "one_sample": _random(1, 3, seed=2),
    "two_classes": _random(6, 2, seed=3),
    "missing_class": (_random(9, 4, seed=4)[0], torch.tensor([0, 1, 3, 3, 1, 0, 0, 3, 1])),
    "batch_below_classes": _random(3, 7, seed=5),
    "extreme": _extreme(),
    "thousand_classes": _random(4, 1000, seed=7),
    "bf16": (_random(5, 6, seed=8)[0].bfloat16(), _random(5, 6, seed=8)[1]),
}


def ready(make: Make, classes: int = CLASSES) -> Regime:
    """A regime with all its inputs, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # for its own weights
    regime = make(classes)
    matrix = torch.rand(classes, classes, generator=generator)
    if regime.inputs:
        regime.prepare(
            val_logits=torch.randn(30, classes, generator=generator),
            val_targets=torch.arange(30) % classes,
            matrix=matrix / matrix.sum(1, keepdim=True),
            other_settings={"alpha": 0.5, "weights": "mix"},
            train_size=TRAIN_SIZE,
            epochs=4,
            stage_shapes=[[8, 4, 4], [5, 4, 4], [6, 2, 2]],
        )
    return regime


def extras(regime: Regime, logits: Tensor, step: int) -> dict[str, Any]:
    """The arguments that the regime ``needs`` besides logits (B, K) and targets; a function of the step."""
    generator = torch.Generator().manual_seed(100 + step)
    batch, classes = logits.shape
    torch.manual_seed(0)
    everything = {
        "features": torch.randn(batch, 6, generator=generator),
        "feature_map": torch.randn(batch, 6, 2, 2, generator=generator),
        "classifier": nn.Linear(6, classes),
        "teacher_logits": torch.randn(batch, classes, generator=generator),
        "sample": torch.randperm(TRAIN_SIZE, generator=generator)[:batch],
        "step_seed": step,
        "stages": [torch.randn(batch, c, 4, 4, generator=generator) for c in (8, 5)],
        "second_view": (
            torch.randn(batch, classes, generator=generator),
            torch.randn(batch, 6, generator=generator),
        ),
    }
    everything["host_sample"] = everything["sample"]
    together = {"plain_logits": ("plain_logits", "eval_logits")}
    for key in ("plain_logits", "eval_logits"):
        everything[key] = torch.randn(batch, classes, generator=generator)
    unknown = set(regime.needs) - set(everything)
    _hold(not unknown, f"needs names {sorted(unknown)}, which do not exist; see regimes/base.py")
    return {key: everything[key] for need in regime.needs for key in together.get(need, (need,))}


def train(regime: Regime, steps: Iterable[int], classes: int = CLASSES, learning_rate: float = 0.1) -> Tensor:
    """Train a linear model on fixed images; returns its weight, a function of the regime's state and the steps."""
    weight = nn.Parameter(torch.zeros(8, classes))
    groups = [{"params": [weight]}, *regime.parameter_groups(learning_rate, 0.0)]
    optimizer = torch.optim.SGD(groups, lr=learning_rate)
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 8, generator=generator)
        targets = torch.randint(classes, (8,), generator=generator)
        logits = images @ weight + 0.5 * torch.randn(8, classes, generator=generator)
        optimizer.zero_grad()
        regime(logits, targets, **extras(regime, logits, step)).backward()
        optimizer.step()
        if step % 4 == 3:
            with torch.no_grad():
                regime.validated(logits.detach(), targets)
                if regime.reviews:
                    regime.review(logits.detach(), targets)
                regime.close_epoch()
        weight.data = weight.data.clone()
    return weight.detach()


def difference(one: Regime, other: Regime) -> str:
    """The first entry in which two states differ in any bit; '' if there is none."""
    a, b = one.state_dict(), other.state_dict()
    if a.keys() != b.keys():
        return sorted(a.keys() ^ b.keys())[0]
    return next((key for key in a if not torch.equal(a[key], b[key])), "")


def _hold(promise: bool, sentence: str) -> None:
    if not promise:
        raise UserError(sentence)


def is_finite(make: Make) -> None:
    """Loss and gradient are finite for logits of ±1e4, in bf16, for one image, for 1000 classes."""
    for case, (logits, targets) in CASES.items():
        regime = ready(make, logits.shape[1])
        for epoch in range(2):
            leaf = logits.clone().requires_grad_()
            loss = regime(leaf, targets, **extras(regime, logits, epoch))
            shape = tuple(loss.shape)
            _hold(shape == (), f"case {case}: the loss has shape {shape}; it must be one number")
            _hold(loss.dtype == torch.float32, f"case {case}: the loss is {loss.dtype}; it must be float32")
            _hold(bool(loss.isfinite()), f"case {case}: the loss is {loss.item()}; it must be finite")
            loss.backward()
            _hold(leaf.grad is not None, f"case {case}: the loss does not depend on the logits")
            _hold(bool(leaf.grad.isfinite().all()), f"case {case}: the gradient is not finite")
            _hold(bool(leaf.grad.any()), f"case {case}: the gradient is zero everywhere")
            regime.validated(logits, targets)
            for key, value in regime.close_epoch().items():
                sentence = f"case {case}: close_epoch returns {key} = {value!r}; it must be a number, not NaN"
                _hold(type(value) is float and value == value, sentence)


def resumes(make: Make, cut: int = 2) -> None:
    """All state is in buffers: after a stop within an epoch, it continues bit for bit."""
    for place in (cut, 6):
        straight, half, again = ready(make), ready(make), make(CLASSES)
        train(straight, range(place)), train(half, range(place))
        again.load_state_dict({key: value.clone() for key, value in half.state_dict().items()})
        weights = train(straight, range(place, 10)), train(again, range(place, 10))
        same = torch.equal(*weights) and not difference(straight, again)
        _hold(same, f"resumed after step {place} of 10, it gives another result; keep its state in buffers")


def draws_nothing(make: Make) -> None:
    """All its random numbers come from ``step_seed``."""
    regime = ready(make)
    logits, targets = CASES["odd_batch"]
    given = extras(regime, logits, 0)
    before = torch.get_rng_state()
    regime(logits, targets, **given)
    regime.close_epoch()
    same = torch.equal(before, torch.get_rng_state())
    _hold(same, 'it uses random numbers of torch; draw them from step_seed, with needs = ("step_seed",)')


def loss_changes_nothing(make: Make) -> None:
    """``loss`` changes no state, and evaluation mode changes none either."""
    regime = ready(make)
    train(regime, range(6))
    before = {key: value.clone() for key, value in regime.state_dict().items()}
    logits, targets = CASES["odd_batch"]
    given = extras(regime, logits, 1)
    regime.eval()(logits, targets, **given)
    regime.train().loss(logits, targets, **given)
    changed = [key for key, value in regime.state_dict().items() if not torch.equal(before[key], value)]
    _hold(not changed, f"loss() changes {', '.join(changed)}; change state in observe() or close_epoch()")


def is_float32(make: Make) -> None:
    """Under autocast the loss is computed in float32."""
    logits, targets = CASES["odd_batch"]
    plain, cast = ready(make), ready(make)
    given = extras(plain, logits, 0)
    if "feature_map" in given:
        given["feature_map"] = torch.ones(7, 6, 1, 1)  # one clear vote, also in bf16
    expected = plain(logits, targets, **given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = cast(logits, targets, **given)
    same = got.dtype == torch.float32 and torch.allclose(got, expected, rtol=1e-6)
    same = same and not difference(plain, cast)
    _hold(same, "under autocast it gives another loss; use log_probs() for the logits")


class Operations(TorchDispatchMode):
    """Records the operators that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def never_waits(make: Make) -> None:
    """A training step never makes the host wait for the GPU."""
    regime = ready(make)
    logits, targets = CASES["odd_batch"]
    given = extras(regime, logits, 0)
    regime(logits, targets, **given)  # the first step may read the device once
    with Operations() as operations:
        regime(logits.clone().requires_grad_(), targets, **given).backward()
    asked = sorted(operations.seen & WAITING)
    _hold(not asked, f"a step reads values from the device ({', '.join(asked)}); compute with tensors")


PROMISES = (is_finite, resumes, draws_nothing, loss_changes_nothing, is_float32, never_waits)


def sentence(promise: Callable[[Make], None]) -> str:
    """What a promise says: the first line of its docstring."""
    return (promise.__doc__ or "").partition("\n")[0].removesuffix(".")


def hold(promise: Callable[[Make], None], name: str, make: Make) -> None:
    """Check one promise of the regime ``name``.

    Raises:
        UserError: saying which promise is broken, and how.
    """
    try:
        promise(make)
    except UserError as error:
        raise UserError(f"{name} breaks a promise ({sentence(promise)}): {error}") from None
