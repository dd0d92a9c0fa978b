"""What accelerate is told: nothing from outside of a run's settings changes its steps."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from medprobclip.training.engine import accelerator_for
from medprobclip.training_settings import TrainingConfig


@pytest.fixture(autouse=True)
def left_as_found():
    yield
    AcceleratorState._reset_state()
    GradientState._reset_state()


def test_precision_is_of_this_training_not_of_the_one_before():
    assert accelerator_for(TrainingConfig(precision="float16")).mixed_precision == "fp16"
    assert accelerator_for(TrainingConfig(precision="auto")).mixed_precision == "no"


def test_what_a_launcher_was_configured_with_changes_no_gradient(monkeypatch):
    """accelerate would divide the loss by four."""
    AcceleratorState._reset_state()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    weight = torch.ones(3, requires_grad=True)
    Accelerator().backward(weight.sum())
    assert weight.grad.tolist() == [0.25] * 3
    weight.grad = None
    ours = accelerator_for(TrainingConfig())
    ours.backward(weight.sum())
    assert weight.grad.tolist() == [1.0] * 3
    assert ours.mixed_precision == "no"
