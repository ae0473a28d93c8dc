"""Heads on features, planned: what they share, and what is refused in words."""

import pytest
from calibench.errors import UserError
from calibench.planning import features
from calibench.planning.checks import check_all
from calibench.planning.configuration import complete, merge
from calibench.planning.plan import Plan

BASE = {
    "name": "x",
    "datasets": {"a": {"root": "/a"}},
    "backbones": ["resnet18"],
    "runs": ["hard"],
    "model": {"freeze": "body", "weights": "imagenet"},
}
EMBEDDINGS = {"root": "/a", "format": "embeddings", "files": {"features": "x.npz"}}


def checked(**changes):
    config = complete(merge(BASE, changes))
    check_all(config)
    return config


def names(**changes):
    plan = Plan(checked(**changes))
    return [features.folder_of(plan.config, "a", "resnet18", run) for run in plan.runs]


def test_regimes_and_seeds_share_features_and_what_changes_them_does_not():
    variants = {
        "big": {"train": {"input_size": 64}},
        "slow": {"train": {"lr": 0.5}},
        "cut": {"augment": {"crop": False}},
    }
    found = names(runs=["hard", "ols", "hard+slow", "hard+cut", "hard+big"], variants=variants)
    assert len(set(found)) == 2 and len(set(found[:4])) == 1
    copied = names(runs=["hard", "ols", "hard+cut"], variants=variants, model={"copies": 2})
    assert copied[0] == copied[1] != copied[2] and copied[0] != found[0]
    assert names(model={"freeze": "none"}) == [""]


def test_a_run_knows_its_features_and_the_size_they_were_made_at():
    plan = Plan(checked(datasets={"a": {"store": {"size": 96}}}))
    settings = plan.run_settings("a", "resnet18", "hard", 0)
    assert settings["train"]["input_size"] == 96 and settings["features"].startswith("features-")
    assert features.store_files(plan, "a", "resnet18", "hard")[0].endswith(
        f"{settings['features']}/images.npy"
    )
    made = features.stage_settings(plan, plan.store_of["a"], settings["features"])
    assert made["model"]["weights"] == "results/weights/resnet18-imagenet.pth" and made["input_size"] == 96


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {"weights": "none"}}, "model.freeze: body needs pretrained weights; set model.weights"),
        (
            {"runs": ["zipf"]},
            "regime 'zipf' needs the last feature map, which a head on features does not have",
        ),
        ({"runs": ["byot"]}, "regime 'byot' needs the maps of the network's stages"),
        ({"runs": ["data_distortion"]}, "needs a second view of each image"),
        ({"augment": {"mixup": 0.2}}, "augment.mixup mixes images"),
        ({"model": {"freeze": "none", "copies": 2}}, "model.copies needs model.freeze: body"),
        ({"runs": ["kd"]}, "teacher: 'resnet50/hard' is not trained on the same features"),
        ({"datasets": {"a": EMBEDDINGS}}, "the backbone embeddings is for data sets of format embeddings"),
        ({"backbones": ["embeddings"]}, "the backbone embeddings is for data sets of format embeddings"),
        ({"datasets": {"a": EMBEDDINGS}, "backbones": ["embeddings"]}, "embeddings are features already"),
        ({"datasets": {"a": EMBEDDINGS | {"files": {}}}}, "name the vectors as"),
        (
            {
                "datasets": {"a": EMBEDDINGS},
                "backbones": ["embeddings"],
                "evaluate_on": {"corruptions": {"names": ["blur"]}},
            },
            "evaluate_on needs images",
        ),
    ],
)
def test_what_a_head_on_features_cannot_do_is_told(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        checked(**changes)


def test_teachers_on_the_same_features_and_embeddings_are_planned():
    checked(runs=["kd", "tfkd_self"], regimes={"kd": {"teacher": "{backbone}/hard"}})
    plain = {"freeze": "none", "weights": "none"}
    config = checked(
        datasets={"a": EMBEDDINGS},
        backbones=["embeddings"],
        model=plain,
        runs=["hard", "tfkd_self", "lsplus"],
    )
    assert not Plan(config).audited(Plan(config).store_of["a"])
