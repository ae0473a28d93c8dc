import pytest
import torchvision
from calibench.backbones import names
from calibench.backbones.networks import NETWORKS
from calibench.errors import UserError


def test_known_names_are_those_that_can_be_built():
    registered = set(torchvision.models.list_models(module=torchvision.models))
    assert names.known() == registered | set(NETWORKS) | {"embeddings"}


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(UserError, match="no backbone 'resnet500'; did you mean .*resnet50"):
        names.check_backbone("resnet500")
