"""What the site file asks of training jobs instead of --gpus."""

import pytest
from calibench.errors import UserError
from calibench.planning.site import read_site, site_resources


@pytest.fixture
def site(tmp_path):
    """``site(text)`` reads a site file of this text."""

    def read(text):
        (tmp_path / "site.yaml").write_text(text + "\npartitions: {gpu: {max_gpu: 4}}\n")
        return read_site(tmp_path / "site.yaml")

    return read


def test_gres_takes_the_place_of_gpus(site):
    asked = site_resources(site("account: me\ngres: gpu:a100:1"), trains_on_gpu=True)
    assert asked == {"slurm_account": "me", "gres": "gpu:a100:1", "gpu": 0}


def test_shares_of_a_gpu_name_their_partition(site):
    asked = site_resources(site("gres: shard:1\ngpu_partition: small"), trains_on_gpu=True)
    assert asked == {"gres": "shard:1", "slurm_partition": "small", "gpu": 0}


def test_other_rules_ask_for_no_gpu(site):
    found = site("qos: high\ngres: gpu:1\ngpu_partition: big")
    assert site_resources(found, trains_on_gpu=False) == {"qos": "high"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gres: gpu:1\ngpu_model: a100", "gres and gpu_model cannot be used together"),
        ("gres: shard:1", "gres: shard:1 does not give a number of GPUs.*set gpu_partition"),
        ("gres: [gpu]", "gres: expected a name"),
    ],
)
def test_mistakes_are_told(site, text, sentence):
    with pytest.raises(UserError, match=sentence):
        site(text)


@pytest.mark.parametrize(
    ("resources", "option"),
    [({"gpu": 1}, "--gpus=1"), ({"gpu": 0, "gres": "gpu:1"}, "--gres=gpu:1")],
)
def test_the_plugin_makes_of_it_what_is_meant(resources, option):
    """And chooses a partition with GPUs either way."""
    from types import SimpleNamespace

    from snakemake_executor_plugin_slurm.partitions import parse_gpu_requirements
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    class Resources(dict):
        __getattr__ = dict.get

    job = SimpleNamespace(resources=Resources(resources))
    assert set_gres_string(job).strip() == option
    assert parse_gpu_requirements(job)[0] == 1
