"""The interface of a regime: its loss, its state, and the end of an epoch."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from calibench.errors import UserError

# arguments of a loss that belong to one image; with mixup and CutMix each of the two images has its own
OF_ONE_IMAGE = frozenset({"sample", "host_sample", "plain_logits", "eval_logits"})


class Regime(nn.Module):
    """Turns logits (B, K) of any float type and targets (B,) int64 into a training loss.

    A subclass has literal class attributes ``name``, ``label``, ``source`` and ``needs``, and takes its settings as
    keyword arguments with literal defaults: the workflow reads both without importing torch. All its state is in
    buffers, so that a checkpoint contains it.

    ``needs`` names keyword arguments that :meth:`loss` gets at every step:

    - ``features`` (B, D): input of the last linear layer, with gradient;
    - ``feature_map`` (B, C, H, W) and ``classifier``: last feature map before pooling, and the module that
      turns (N, C) into logits;
    - ``stages``: last feature map (B, C, H, W) of each stage of the network except the last, with gradient;
    - ``teacher_logits`` (B, K) float32 of a frozen teacher for the same augmented images;
    - ``sample`` (B,) int64: index of each image in the training part, 0 to ``train_size`` - 1, the same in
      every epoch;
    - ``host_sample`` (B,) int64: the same on the CPU, for a state in main memory;
    - ``plain_logits`` (B, K) float32, no gradient: for the images before mixup or CutMix; together with
      ``eval_logits`` (B, K), the same from the network in evaluation mode;
    - ``second_view`` (logits (B, K), features (B, D)), with gradient: for the same images, augmented again; both
      views go through the network in one pass, and mixup and CutMix must be off;
    - ``step_seed`` int: a function of (seed, epoch, step), the only source of randomness of a loss, so that
      resuming is exact.

    ``inputs`` names what :meth:`prepare` gets once before training: ``val_logits`` (N, K) and ``val_targets`` (N,) of
    another run (part select), ``matrix`` (K, K) of another run, row = true class, and ``other_settings``, the settings
    of the regime of that run; ``train_size`` int; ``epochs`` int, length of the training; ``stage_shapes`` (S+1, 3),
    channels, height and width of the ``stages`` and then of the last map, with D as its channels.

    ``other_runs`` maps a setting that names another run (``{backbone}/hard``) to what is used of it: "predictions"
    (validation logits), "weights", or "regime" (``matrix`` and ``other_settings``). ``combines`` means that the
    regime is made of others (:mod:`calibench.regimes.parts`); the ``needs``, ``inputs`` and ``other_runs`` of an object
    then include those of its parts.

    With mixup or CutMix the trainer computes λ·loss(y_a) + (1-λ)·loss(y_b), each with the arguments
    :data:`OF_ONE_IMAGE` of its image, and calls :meth:`observe` once with the label of the larger share. The trainer
    calls all methods except :meth:`loss` without gradient.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ()
    other_runs: ClassVar[dict[str, str]] = {}
    shows_matrix: ClassVar[bool] = False
    combines: ClassVar[bool] = False
    reviews: bool = False  # whether the trainer calls :meth:`review` at the end of this epoch

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 classes, got {num_classes}")
        self.num_classes = num_classes
        self._prepared = not self.inputs
        self.register_load_state_dict_post_hook(_after_load)

    @torch.no_grad()
    def prepare(self, **arrays: Any) -> None:
        """Take the ``inputs`` (NumPy arrays, tensors, numbers) once before training; others are ignored.

        Not needed when training resumes: the checkpoint has them. UserError if one is missing or does not fit.
        """
        missing = [name for name in self.inputs if name not in arrays]
        if missing:
            raise UserError(
                f"regime '{self.name}' needs '{missing[0]}' before training; pass it to prepare()"
            )
        if self.inputs:  # of an object they may be fewer than of its class
            self.take(**{name: arrays[name] for name in self.inputs})
        self._prepared = True

    def take(self, **arrays: Any) -> None:
        """Put the ``inputs`` into buffers; :meth:`prepare` calls it, and a subclass with ``inputs`` writes it."""

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Optimizer groups of the regime's own parameters, given the settings of the network's; by default none.

        They join the optimizer of the network; the schedule multiplies the ``lr`` of each group.
        """
        return []

    def loss(self, logits: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        """Scalar loss, mean over the batch, in float32; changes no state."""
        raise NotImplementedError

    def observe(self, logits: Tensor, targets: Tensor, **extras: Any) -> None:
        """Update the state from one training batch; by default there is no state."""

    def loaded(self) -> None:
        """Called after a state was loaded: drop values computed from the old one; by default there are none."""

    def forward(self, logits: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        """Loss of one batch; in training mode :meth:`observe` follows. UserError if ``inputs`` were never given."""
        if not self._prepared:
            raise UserError(
                f"regime '{self.name}' needs {', '.join(self.inputs)}; call prepare() before training"
            )
        loss = self.loss(logits, targets, **extras)
        if self.training:
            with torch.no_grad():
                self.observe(logits.detach(), targets, **extras)
        return loss

    def validated(self, logits: Tensor, targets: Tensor) -> None:
        """Use the validation logits (N, K) (part select) of this epoch; called just before :meth:`close_epoch`."""

    def review(self, logits: Tensor, targets: Tensor) -> None:
        """Use logits (B, K) of training images with the weights at the end of the epoch, before :meth:`close_epoch`.

        If ``reviews`` is true, called for all training images, batch by batch: augmented, not mixed, with the network
        in evaluation mode.
        """

    def class_targets(self) -> Tensor | None:
        """The soft label of each class, (K, K), row = class of the image; for figures and reports.

        None if images of one class have different labels, or the loss does not use a label.
        """
        return None

    def close_epoch(self) -> dict[str, float]:
        """End an epoch: update what changes once per epoch, and return numbers for the history."""
        return {}


def _after_load(module: Regime, _incompatible: Any) -> None:
    module._prepared = True
    module.loaded()
