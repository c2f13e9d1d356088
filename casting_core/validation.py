"""How a network does between two epochs, on pictures that it is not trained on: for the training chart alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from casting_core.labelled import LabelledFeatures
from casting_core.preprocess import Preprocessing, normalise

if TYPE_CHECKING:
    from casting_core.evaluation_evidence import Epoch
    from casting_core.labelled import LabelledPictures

__all__ = ["measure_epoch"]

_BATCH = 32


@torch.inference_mode()
def measure_epoch(
    network: torch.nn.Module,
    validation: LabelledPictures | LabelledFeatures,
    preprocessing: Preprocessing,
    epoch: Epoch,
    *,
    device: torch.device,
    half: bool,
) -> Epoch:
    """Add loss and AUROC on held-out pictures of both classes to what is known of an epoch."""
    logits = []
    for places in torch.split(torch.arange(len(validation)), _BATCH):
        if isinstance(validation, LabelledFeatures):
            inputs = validation.maps[0, places].to(device).float()
        else:
            inputs = normalise(validation.pixels[places].to(device), preprocessing)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            logits.append(network(inputs).float().cpu())
    outputs = torch.cat(logits)
    margins = (outputs[:, 1] - outputs[:, 0]).numpy()
    return replace(
        epoch,
        validation_loss=float(functional.cross_entropy(outputs, validation.labels)),
        validation_auroc=float(roc_auc_score(validation.labels.numpy(), np.nan_to_num(margins))),
    )
