"""The contract of a regime: a loss, the state it carries, and how an epoch ends."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from calibench.errors import UserError

# the needs that belong to one image, where two are mixed
OF_ONE_IMAGE = frozenset({"sample", "host_sample", "plain_logits", "eval_logits"})


class Regime(nn.Module):
    """One way to turn logits and labels into a training loss.

    A subclass sets literal class attributes ``name``, ``label``, ``source`` and ``needs`` and takes its
    settings as keyword arguments with literal defaults (the workflow reads both without importing torch).
    Everything it must remember lives in buffers, so that a checkpoint holds it.

    ``needs`` names the keyword arguments :meth:`loss` wants at every step:

    - ``features`` (B, D): input of the last linear layer, with its graph;
    - ``feature_map`` (B, C, H, W) and ``classifier``: last feature map before pooling, and the module that
      turns (N, C) into logits;
    - ``stages``: the maps (B, C, H, W) that the network's stages end with, all but the last, with their graph;
    - ``teacher_logits`` (B, K) float32 of a frozen teacher on the same augmented images;
    - ``sample`` (B,) int64: index of each image in the training part, 0 to ``train_size`` - 1, the same at
      every epoch;
    - ``host_sample`` (B,) int64: the same on the CPU, for what is kept in main memory;
    - ``plain_logits`` (B, K) float32, no gradient: of the images before mixup or CutMix; with them come
      ``eval_logits`` (B, K), the same from the network in evaluation mode;
    - ``second_view`` (logits (B, K), features (B, D)), with their graph: of the same images, augmented anew; both
      views go through the network in one pass, and neither mixup nor CutMix may be on;
    - ``step_seed`` int: a function of (seed, epoch, step); all randomness of a loss comes from it, so resume
      is exact.

    ``inputs`` names the arrays :meth:`prepare` wants once before training: ``val_logits`` (N, K) and
    ``val_targets`` (N,) of the run it depends on (part select), ``matrix`` (K, K) of another run, row = true
    class, and ``other_settings``, the settings of that run's regime (a mapping); ``train_size`` int; ``epochs``
    int, the epochs of the training; ``stage_shapes`` (S+1, 3), channels, height and width of the ``stages`` and, at
    the end, of the last map, with the number of features D for its channels. ``other_runs`` maps a setting whose value is the path of another run
    (``{backbone}/hard``) to what is wanted from it: "predictions" (validation logits), "weights" or "regime"
    (``matrix`` of its state, ``other_settings``). ``combines``: made of other regimes (``calibench.regimes.parts``);
    ``needs``, ``inputs`` and ``other_runs`` of an object then hold theirs as well.

    Args:
        num_classes: number of classes K.

    Under mixup or CutMix the trainer computes λ·loss(y_a) + (1-λ)·loss(y_b) and calls :meth:`observe` once
    with the dominant label; what is of one image (:data:`OF_ONE_IMAGE`) is that of the image with the label. Shapes: ``logits`` (B, K) of any float type, ``targets`` (B,) int64.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ()
    other_runs: ClassVar[dict[str, str]] = {}
    shows_matrix: ClassVar[bool] = False
    combines: ClassVar[bool] = False
    reviews: bool = False  # whether :meth:`review` is wanted at the end of this epoch

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 classes, got {num_classes}")
        self.num_classes = num_classes
        self._prepared = not self.inputs
        self.register_load_state_dict_post_hook(_after_load)

    @torch.no_grad()
    def prepare(self, **arrays: Any) -> None:
        """Take the ``inputs`` (NumPy arrays, tensors, numbers) once before training.

        Others are ignored. Not needed when training resumes: a loaded state has them.

        Raises:
            UserError: if one of the ``inputs`` is missing or does not fit.
        """
        missing = [name for name in self.inputs if name not in arrays]
        if missing:
            raise UserError(
                f"regime '{self.name}' needs '{missing[0]}' before training; give it to prepare()"
            )
        if self.inputs:  # of an object they may be fewer than of its class
            self.take(**{name: arrays[name] for name in self.inputs})
        self._prepared = True

    def take(self, **arrays: Any) -> None:
        """Put the ``inputs`` into buffers; the part of :meth:`prepare` that a subclass writes."""

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Optimizer groups of the regime's own parameters, given the network's settings; by default it has
        none.

        The trainer adds them to the network's optimizer; the schedule multiplies each group's own ``lr``.
        """
        return []

    def loss(self, logits: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        """Scalar loss, mean over the batch, in float32; changes no state."""
        raise NotImplementedError

    @torch.no_grad()
    def observe(self, logits: Tensor, targets: Tensor, **extras: Any) -> None:
        """Update the state from one batch of the training pass; by default there is none."""

    def loaded(self) -> None:
        """Forget what was derived from a state that has just been replaced; by default nothing is."""

    def forward(self, logits: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        """Loss of one batch; in training mode the state sees the batch afterwards.

        Raises:
            UserError: if the regime has ``inputs`` and neither :meth:`prepare` nor a loaded state gave them.
        """
        if not self._prepared:
            raise UserError(
                f"regime '{self.name}' needs {', '.join(self.inputs)}; call prepare() before training"
            )
        loss = self.loss(logits, targets, **extras)
        if self.training:
            self.observe(logits.detach(), targets, **extras)
        return loss

    @torch.no_grad()
    def validated(self, logits: Tensor, targets: Tensor) -> None:
        """See this epoch's own validation logits (N, K) (part select), just before :meth:`close_epoch`."""

    @torch.no_grad()
    def review(self, logits: Tensor, targets: Tensor) -> None:
        """See logits (B, K) of training images with the weights that end the epoch, just before :meth:`close_epoch`.

        Called batch by batch until each image was seen once, while ``reviews`` is true: augmented, not mixed, the
        network in evaluation mode.
        """

    def class_targets(self) -> Tensor | None:
        """The label each class is trained against, (K, K), row = class of the image; for figures and reports.

        None where images of one class have different labels, or the loss is none of a label.
        """
        return None

    @torch.no_grad()
    def close_epoch(self) -> dict[str, float]:
        """End an epoch: renew what is renewed once an epoch; return diagnostics for the history."""
        return {}


def _after_load(module: Regime, _incompatible: Any) -> None:
    module._prepared = True
    module.loaded()
