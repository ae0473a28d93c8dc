"""torchvision's ImageNet weights: their address, and a download with a checksum."""

import logging
import re
from pathlib import Path

import torchvision

from calibench import files
from calibench.data.download import download
from calibench.errors import UserError

log = logging.getLogger(__name__)
TIMEOUT = 60  # seconds without an answer: a node without a network must not wait for ever


def imagenet_url(backbone: str) -> str:
    """Address of torchvision's default ImageNet weights; UserError if it has none for this backbone."""
    try:
        return torchvision.models.get_model_weights(backbone).DEFAULT.url
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"model.weights: torchvision has no ImageNet weights for '{backbone}'; set it to none or to a file"
        ) from error


def fetch(backbone: str, out: Path) -> None:
    """Download weights and check them against the hash in their name; UserError if one of the two fails."""
    url = imagenet_url(backbone)
    expected = re.search(r"-([0-9a-f]{8,})\.", url)
    by_hand = (
        f"run 'snakemake weights --cores 1' on a machine with a network and copy {out} here, or download the file by "
        "hand to that path, or set model.weights to a file or to none"
    )
    log.info("fetching %s", url)
    with files.atomic_path(out) as part:
        digest = download(url, part, "sha256", TIMEOUT, by_hand)
        if expected is None or not digest.startswith(expected[1]):
            raise UserError(
                f"{url}: the checksum is wrong ({digest[:12]}…); the file was not kept, try again"
            )
