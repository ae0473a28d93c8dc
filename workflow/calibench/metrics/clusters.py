"""How tight classes lie in feature space, measured on the features, never on a t-SNE map."""

import numpy as np


def cluster_scores(features: np.ndarray, targets: np.ndarray, neighbours: int = 10) -> dict[str, float]:
    """Cluster measures of features (N, D) with classes (N,), Euclidean distances.

    Classes with fewer than two samples are left out: they have no spread. ``silhouette``
    (Rousseeuw 1987, higher is tighter, -1..1), ``davies_bouldin`` (1979, lower is tighter) and ``knn_hit``
    (mean fraction of the nearest other samples that share the class, ``neighbours`` of them or N-1 if fewer).

    Returns:
        The four values, NaN where fewer than two classes or no more samples than classes are left, or where all
        features are equal (a network that died in training).
    """
    from sklearn.metrics import davies_bouldin_score, silhouette_score
    from sklearn.neighbors import NearestNeighbors

    features, targets = np.asarray(features, np.float32), np.asarray(targets)
    classes, inverse, count = np.unique(targets, return_inverse=True, return_counts=True)
    keep = count[inverse] >= 2
    features, targets = features[keep], targets[keep]
    classes = np.unique(targets)
    names = ["silhouette", "davies_bouldin", "knn_hit", "within_between"]
    if len(classes) < 2 or len(targets) <= len(classes) or not np.ptp(features, axis=0).any():
        return dict.fromkeys(names, float("nan"))
    k = min(neighbours, len(targets) - 1)
    near = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
    return {
        "silhouette": float(silhouette_score(features, targets)),
        "davies_bouldin": float(davies_bouldin_score(features, targets)),
        "knn_hit": float((targets[near] == targets[:, None]).mean()),
        "within_between": within_between(features.astype(np.float64), targets),
    }


def within_between(features: np.ndarray, targets: np.ndarray) -> float:
    """Mean distance to the class's centre over mean distance between centres (lower is tighter)."""
    from scipy.spatial.distance import pdist

    classes, inverse = np.unique(targets, return_inverse=True)
    centres = np.stack([features[targets == c].mean(axis=0) for c in classes])
    return float(np.linalg.norm(features - centres[inverse], axis=1).mean() / pdist(centres).mean())
