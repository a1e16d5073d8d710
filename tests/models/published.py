"""The entries that torch's layers have in a state dictionary: what the rules of published names are made of."""

Shapes = dict[str, tuple[int, ...]]


def parametrised(name: str, outputs: int, *inputs: int) -> Shapes:
    """A convolution or linear layer with a bias."""
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


def batch_norm(name: str, channels: int) -> Shapes:
    """A batch norm with a gain, a shift and its averages."""
    vectors = {f"{name}.{entry}": (channels,) for entry in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}
