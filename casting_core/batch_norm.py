"""Makes networks trainable whose batch norms were folded away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from casting_core.errors import InvalidDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unfold_batch_norm"]


@torch.no_grad()
def unfold_batch_norm(network: nn.Module, batches: Iterator[torch.Tensor]) -> int:
    """Give batch norms that were folded into their convolutions statistics of their own again; return how many.

    Weights published with batch norm folded in carry mean 0 and variance 1. Training would first normalise the folded
    scale away and so destroy them. For activations with mean m and variance v, setting running mean m, running
    variance v, weight w * sqrt(v + eps) / sqrt(1 + eps) and bias b + w * m / sqrt(1 + eps) leaves the network's output
    the same to rounding, and lets it be trained. `batches` are normalised inputs [B, 3, S, S]; they are read only when
    something is folded.
    """
    folded = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and _is_folded(module)]
    if not folded:
        return 0
    sums: dict[nn.Module, torch.Tensor] = {
        module: torch.zeros(3, module.num_features, dtype=torch.float64) for module in folded
    }

    def add(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)
        count = torch.full((values.shape[0],), float(values.shape[1]), dtype=torch.float64)
        sums[module] += torch.stack([count, values.sum(1).cpu(), values.square().sum(1).cpu()])

    handles = [module.register_forward_pre_hook(add) for module in folded]
    network.eval()
    for batch in batches:
        network(batch)
    for handle in handles:
        handle.remove()
    for module in folded:
        count, total, squares = sums[module].to(module.weight.device)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=1e-10)
        scale = module.weight / math.sqrt(1 + module.eps)
        module.bias.add_((scale * mean).float())
        module.weight.copy_(scale * (variance + module.eps).sqrt())
        _statistics(module.running_mean).copy_(mean)
        _statistics(module.running_var).copy_(variance)
    return len(folded)


def _is_folded(module: nn.BatchNorm2d) -> bool:
    if not module.affine:
        return False
    mean, variance = _statistics(module.running_mean), _statistics(module.running_var)
    trained = not bool((module.weight == 1).all() and (module.bias == 0).all())
    return trained and bool((mean == 0).all()) and bool((variance == 1).all())


def _statistics(tensor: torch.Tensor | None) -> torch.Tensor:
    if tensor is None:
        raise InvalidDataset("A batch norm without running statistics cannot be trained here; take another network.")
    return tensor
