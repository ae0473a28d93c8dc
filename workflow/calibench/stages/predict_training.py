"""Write the logits of a finished run for its training images, without augmentation, for figures of the training set."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.batches import Images
from calibench.data.stored import read_store
from calibench.data.vectors import Vectors
from calibench.files import save_npy, write_csv
from calibench.finished import names
from calibench.finished.network import load_network
from calibench.finished.read import read_record
from calibench.training.device import set_determinism, set_threads, take_device
from calibench.training.predicting import predict_split


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_record(parser)
    cli.add_images(parser)
    parser.add_argument("--checkpoint", default="top1", choices=names.kept(True))
    parser.add_argument("--out", type=Path, required=True, help=".npy to write: logits (N, K) float32")
    parser.add_argument("--out-index", type=Path, required=True, help="CSV to write: row and true target")
    cli.add_device(parser)
    cli.add_threads(parser)
    options = parser.parse_args(argv)
    set_threads(options.threads)
    set_determinism(True)
    store, index, num_classes = read_store(options.images.parent)
    train = index.loc[index["split"] == "train", ["row", "target"]]
    settings = read_record(options.record.parent)["settings"]
    with take_device(options.device) as device:
        network = load_network(options.record.parent, num_classes, options.checkpoint)
        rows, kind = train["row"].to_numpy(), Vectors if store.ndim == 2 else Images
        logits = predict_split(network.to(device), kind(store, rows, device), settings)[1]
    write_csv(train, options.out_index)
    save_npy(options.out, logits.numpy())
