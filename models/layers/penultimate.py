"""The penultimate layer: a network's features of an image just before it scores the classes."""

from typing import Any

from torch import Tensor, fx, nn

LEARNT = (nn.Conv2d, nn.Linear)


class Penultimate(nn.Module):
    """The logits of ``network``, and the features that its last linear layer, ``layer``, computes them from.

    The logits are computed by the same operations as in ``network``. The module shares the network's parameters and is
    for inference.

    Raises:
        TypeError: the network does not end in a linear layer of learnt features: it has no hidden layer, or is several
            networks.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()
        self._graph = fx.Tracer().trace(network)
        answer = self._answer()
        self.layer = str(answer.args[0].target)
        (features,) = answer.args[0].args
        answer.args = ((answer.args[0], features),)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and features (B, K) of normalised images (B, C, H, W)."""
        found: tuple[Tensor, Tensor] = fx.Interpreter(self.network, graph=self._graph).run(x)
        return found

    def _answer(self) -> Any:
        """The output node, if its value comes directly from a linear layer of learnt features."""
        kinds = {
            node: type(self.network.get_submodule(str(node.target)))
            for node in self._graph.nodes
            if node.op == "call_module"
        }
        *_, answer = self._graph.nodes
        others = [kind for node, kind in kinds.items() if node is not answer.args[0]]
        if kinds.get(answer.args[0]) is not nn.Linear or not any(issubclass(kind, LEARNT) for kind in others):
            raise TypeError(f"{type(self.network).__name__} does not end in a linear layer of learnt features")
        return answer
