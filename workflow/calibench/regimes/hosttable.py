"""A row of numbers for each training image, in main memory."""

import os

import torch
from torch import Tensor, nn

from calibench.errors import UserError

SHARE = 0.5  # of the machine's memory that a table may take


class HostTable(nn.Module):
    """Rows (N, K) float32 that stay in main memory, whatever device the regime is on; zero at the start.

    The device holds only the rows of one batch. What a step writes is copied back while the device works on; it is
    complete before the next read, and in a checkpoint.

    Args:
        columns: K.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(0, columns))
        self._pending: tuple | None = None

    def allocate(self, what: str, rows: int) -> None:
        """Make room for N rows of zeros; UserError if they would take more than half of the machine's memory.

        The system gives the memory only as rows are written.
        """
        need = 4 * rows * self.rows.shape[1]
        have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if need > SHARE * have:
            raise UserError(
                f"{what} of {rows:,} images x {self.rows.shape[1]} classes takes {need / 1e9:.1f} GB of main memory, "
                f"and this machine has {have / 1e9:.1f} GB; train on fewer images or with another regime"
            )
        self._pending, self.rows = None, torch.zeros(rows, self.rows.shape[1])

    def _apply(self, function, recurse: bool = True) -> nn.Module:
        return self  # .to(device) and its like leave it where it is

    def read(self, index: Tensor, device: torch.device) -> Tensor:
        """Rows (B, K) of the images ``index`` (B,) int64 (on the CPU), on the device."""
        self._flush()
        rows = self.rows[index]
        return rows.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rows

    def write(self, index: Tensor, values: Tensor) -> None:
        """Replace the rows ``index`` (B,) on the CPU by values (B, K); does not wait for the device."""
        self._flush()
        if not values.is_cuda:
            self.rows[index] = values
            return
        copy = torch.empty(values.shape, pin_memory=True)
        copy.copy_(values, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._pending = index, copy, arrived

    def _flush(self) -> None:
        if self._pending is not None:
            index, copy, arrived = self._pending
            arrived.synchronize()  # the copy was queued one step ago, before the backward pass
            self.rows[index] = copy
            self._pending = None

    def _save_to_state_dict(self, *args) -> None:
        self._flush()
        super()._save_to_state_dict(*args)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        self._pending = None
        rows = state_dict.get(prefix + "rows")
        if rows is not None and rows.shape != self.rows.shape:
            self.rows = torch.zeros(rows.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
