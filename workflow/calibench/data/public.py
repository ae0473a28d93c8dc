"""Public data sets that can be fetched: addresses and checksums.

Sources: FashionMNIST (Xiao et al. 2017, MIT licence; MD5 sums as in torchvision, SHA-256 of those files),
MedMNIST v2 (Yang et al. 2023, CC BY 4.0 except DermaMNIST, CC BY-NC 4.0; MD5 sums as in medmnist 3.0.2). Only
sets with one label per two-dimensional image are listed.
"""

from calibench.errors import UserError

_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MEDMNIST = "https://zenodo.org/records/10519652/files/{name}.npz?download=1"

FASHIONMNIST = {
    "train-images-idx3-ubyte.gz": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
MEDMNIST = {
    "pathmnist": "a8b06965200029087d5bd730944a56c1",
    "dermamnist": "0744692d530f8e62ec473284d019b0c7",
    "octmnist": "c68d92d5b585d8d81f7112f81e2d0842",
    "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
    "retinamnist": "bd4c0672f1bba3e3a89f0e4e876791e4",
    "breastmnist": "750601b1f35ba3300ea97c75c52ff8f6",
    "bloodmnist": "7053d0359d879ad8a5505303e11de1dc",
    "tissuemnist": "ebe78ee8b05294063de985d821c1c34b",
    "organamnist": "68e3f8846a6bd62f0c9bf841c0d9eacc",
    "organcmnist": "b9ceb9546e10131b32923c5bbeaea2b1",
    "organsmnist": "9ab87b696fb54e2a387ebe992d6ed5f1",
}

# name → [(address, file name, checksum)]
DOWNLOADS: dict[str, list[tuple[str, str, str]]] = {
    "fashionmnist": [(_FASHION + name, name, checksum) for name, checksum in FASHIONMNIST.items()],
    **{
        name: [(_MEDMNIST.format(name=name), f"{name}.npz", f"md5:{checksum}")]
        for name, checksum in MEDMNIST.items()
    },
}


def source_of(name: str, file: str) -> tuple[str, str]:
    """Address and checksum of one file of a known data set.

    Raises:
        UserError: if the data set has no such file.
    """
    found = [(url, checksum) for url, known, checksum in DOWNLOADS[name] if known == file]
    if not found:
        known = ", ".join(item[1] for item in DOWNLOADS[name])
        raise UserError(f"config: '{name}' has no file '{file}' to fetch; it has: {known}")
    return found[0]
