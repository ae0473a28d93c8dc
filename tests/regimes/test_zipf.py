import math

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import build
from regime_cases import CASES, argmax, check, cross_entropy, each_case, log_softmax
from torch import nn


def ranks(scores):
    """Rank 1 = highest score; tied classes share the smallest rank."""
    descending = sorted(scores, reverse=True)
    first = {}
    for place, score in enumerate(descending, start=1):
        first.setdefault(score, place)
    return [first[s] for s in scores]


def reference(scores, rank_among, lam):
    def loss(z, y, still):
        total = 0.0
        for row, t, score in zip(z, y, scores or still, strict=True):
            others = [c for c in range(len(row)) if c != t]
            among_all = ranks(score)
            if rank_among == "others":
                rank = ranks([score[c] for c in others])
            else:
                rank = [among_all[c] for c in others]
            weight = [1 / r for r in rank]
            w = [v / sum(weight) for v in weight]
            q = log_softmax([row[c] for c in others])
            total += math.fsum(a * (math.log(a) - b) for a, b in zip(w, q, strict=True))
        return cross_entropy(z, y) + lam * total / len(y)

    return loss


@each_case
@pytest.mark.parametrize("rank_among", ["others", "all"])
def test_rank_mode(case, rank_among):
    settings = {"mode": "rank", "lam": 1.0, "rank_among": rank_among}
    check(build("zipf", CASES[case][0].shape[1], **settings), reference(None, rank_among, 1.0), case)


@each_case
@pytest.mark.parametrize("rank_among", ["others", "all"])
def test_dense_mode_counts_the_votes_of_all_positions(case, rank_among):
    logits, _ = CASES[case]
    b, k = logits.shape
    torch.manual_seed(0)
    feature_map, head = torch.randn(b, 3, 4, 5), nn.Sequential(nn.Dropout(0.5), nn.Linear(3, k)).train()
    weight, bias = head[1].weight.double().tolist(), head[1].bias.double().tolist()
    votes = [[0] * k for _ in range(b)]
    for i in range(b):
        for h in range(4):
            for w in range(5):
                x = feature_map[i, :, h, w].double().tolist()
                scores = [
                    sum(a * v for a, v in zip(row, x, strict=True)) + bias[c] for c, row in enumerate(weight)
                ]
                votes[i][argmax(scores)] += 1
    settings = {"lam": 0.3, "rank_among": rank_among}
    extras = {"feature_map": feature_map, "classifier": head}
    check(build("zipf", k, **settings), reference(votes, rank_among, 0.3), case, **extras)
    assert head.training


def test_no_gradient_flows_through_the_ranks():
    logits, targets = CASES["odd_batch"]
    feature_map, head = torch.randn(7, 3, 2, 2, requires_grad=True), nn.Linear(3, 5)
    regime = build("zipf", 5)
    regime(logits.clone().requires_grad_(), targets, feature_map=feature_map, classifier=head).backward()
    assert feature_map.grad is None and head.weight.grad is None


def test_what_dense_cannot_use_is_said():
    logits, targets = CASES["odd_batch"]
    with pytest.raises(UserError, match="zipf: mode dense needs feature_map"):
        build("zipf", 5)(logits, targets)
    with pytest.raises(UserError, match="has 12 inputs and the feature map 3 channels"):
        build("zipf", 5)(logits, targets, feature_map=torch.zeros(7, 3, 2, 2), classifier=nn.Linear(12, 5))


def test_a_feature_map_from_autocast_meets_a_classifier_in_float32():
    """The trainer computes the loss outside autocast, with the map that a bf16 pass left."""
    feature_map, head = torch.randn(4, 8, 2, 2), torch.nn.Linear(8, 3)
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    regime = build("zipf", 3, mode="dense")
    rounded = regime.loss(logits, targets, feature_map=feature_map.bfloat16(), classifier=head)
    exact = regime.loss(logits, targets, feature_map=feature_map.bfloat16().float(), classifier=head)
    assert torch.equal(rounded, exact)
