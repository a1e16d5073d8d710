"""Tests of architectures, some of which are traced."""

import torch

from tests.needs import watch

watch(torch.onnx, "export", "export")
