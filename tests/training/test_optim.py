"""The optimizer against torch's own."""

import copy
import subprocess
import sys

import pytest
import torch
from calibench.training.optim import SGD


def networks():
    """Two equal networks, with a layer whose memory has channels last."""
    torch.manual_seed(0)
    one = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(64, 3))
    one = one.to(memory_format=torch.channels_last)
    return one, copy.deepcopy(one)


def gradients(network, step):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(5, 3, 6, 6, generator=generator).to(memory_format=torch.channels_last)
    network(images).square().mean().backward()


@pytest.mark.parametrize(
    "momentum, nesterov, decay", [(0.9, True, 1e-2), (0.9, False, 0.0), (0.0, False, 1e-3)]
)
def test_sgd_is_torchs_also_after_a_checkpoint_and_without_a_gradient(momentum, nesterov, decay):
    ours, theirs = networks()
    body, other = ({"params": list(n[0].parameters())} for n in (ours, theirs))
    own = {"lr": 0.01, "weight_decay": decay}
    head = {"params": [ours[2].weight, ours[2].bias], **own}
    # torch's fused form fails if only some parameters of a group have an average
    parts = [{"params": [p], **own} for p in (theirs[2].weight, theirs[2].bias)]
    mine = SGD([body, head], 0.1, momentum, nesterov)
    reference = torch.optim.SGD([other, *parts], 0.1, momentum=momentum, nesterov=nesterov, fused=True)
    for step in range(6):
        gradients(ours, step)
        gradients(theirs, step)
        if step < 2:  # the bias of the head moves later than the rest
            ours[2].bias.grad = theirs[2].bias.grad = None
        mine.step()
        reference.step()
        mine.zero_grad()
        reference.zero_grad()
        if step == 3:
            state = copy.deepcopy(mine.state_dict())
            mine = SGD([body, head], 0.1, momentum, nesterov)
            mine.load_state_dict(state)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


def test_averages_of_another_network_are_refused():
    ours, other = networks()[0], torch.nn.Linear(2, 2)
    optimizer = SGD([{"params": list(ours[2].parameters())}], 0.1, 0.9, False)
    gradients(ours, 0)
    optimizer.step()
    with pytest.raises(ValueError, match="shape"):
        SGD([{"params": list(other.parameters())}], 0.1, 0.9, False).load_state_dict(optimizer.state_dict())


def test_a_step_does_not_import_the_compiler():
    code = (
        "import sys, torch; from calibench.training.optim import SGD; w = torch.nn.Linear(2, 2);"
        "w(torch.ones(1, 2)).sum().backward(); SGD([{'params': list(w.parameters())}], 0.1, 0.9, True).step();"
        "import calibench.training.job; assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "workflow", "PATH": ""})
