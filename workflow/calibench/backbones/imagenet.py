"""torchvision's ImageNet weights: where they are, and how they come here, checksummed."""

import logging
import re
from pathlib import Path

import torchvision

from calibench import files
from calibench.data.download import download
from calibench.errors import UserError

log = logging.getLogger(__name__)
TIMEOUT = 60  # seconds without an answer before giving up: a node without a network must not hang


def imagenet_url(backbone: str) -> str:
    """Address of torchvision's default ImageNet weights.

    Raises:
        UserError: if torchvision has none for this backbone.
    """
    try:
        return torchvision.models.get_model_weights(backbone).DEFAULT.url
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"model: weights: torchvision has no ImageNet weights for '{backbone}'; use none or a file"
        ) from error


def fetch(backbone: str, out: Path) -> None:
    """Download weights and check them against the hash in their name.

    Raises:
        UserError: if the network fails, before or during the transfer, or if the checksum is wrong.
    """
    url = imagenet_url(backbone)
    expected = re.search(r"-([0-9a-f]{8,})\.", url)
    by_hand = (
        f"on a machine with a network run 'snakemake weights --cores 1' and copy {out} here, or download it by hand to "
        "that name, or set model: weights to a file or none"
    )
    log.info("fetching %s", url)
    with files.atomic_path(out) as part:
        digest = download(url, part, "sha256", TIMEOUT, by_hand)
        if expected is None or not digest.startswith(expected[1]):
            raise UserError(f"{url}: the checksum is wrong ({digest[:12]}…); nothing was kept, try again")
