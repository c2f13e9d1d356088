"""Trains the networks of one run: one for each fold without what it holds out, and one on everything."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from casting_core.checkpoint import Checkpoint
from casting_core.features import extract_features, fit_scale
from casting_core.labelled import LabelledFeatures
from casting_core.local_network import LocalNetwork
from casting_core.model import pretrained_network
from casting_core.training import Step, train
from casting_core.validation import measure_epoch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from casting_core.evaluation_evidence import Epoch
    from casting_core.labelled import LabelledPictures
    from casting_core.preprocess import Preprocessing
    from casting_core.presets import Preset
    from casting_core.scoring import Hardware

__all__ = ["FoldTraining"]


@dataclass(frozen=True, kw_only=True)
class FoldTraining:
    """One run's networks, each with its checkpoint in `workdir`, and their steps counted together.

    `folds` [N] says in which fold each picture is held out, -1 for none. `key` names everything that the weights
    depend on.
    """

    pictures: LabelledPictures
    folds: NDArray[np.int64]
    preset: Preset
    pretrained: str
    hardware: Hardware
    preprocessing: Preprocessing
    workdir: Path
    key: str
    on_step: Callable[[Step], None]

    def run(self) -> tuple[list[torch.nn.Module], torch.nn.Module, tuple[Epoch, ...]]:
        """Give the folds' networks, the one to be published, and the epochs of the folds.

        With one fold its network is published; with more one that was trained on everything.
        """
        networks: list[torch.nn.Module] = []
        history: list[Epoch] = []
        data = self._data()
        for fold in range(self._fold_count):
            held_out = torch.from_numpy(self.folds == fold)
            network, epochs = self._train(f"fold-{fold}", fold, data.part(~held_out), data.part(held_out))
            networks.append(network)
            history.extend(replace(epoch, fold=fold) for epoch in epochs)
        final = networks[0] if self._fold_count == 1 else self._train("final", self._fold_count, data, None)[0]
        return networks, final, tuple(history)

    @property
    def _fold_count(self) -> int:
        return int(self.folds.max()) + 1

    def _network(self) -> torch.nn.Module:
        torch.manual_seed(self.preset.recipe.seed)  # what begins without weights begins with random ones
        return pretrained_network(self.preset.architecture, self.pretrained)

    def _data(self) -> LabelledPictures | LabelledFeatures:
        """What the networks are trained on: pictures, or what a frozen body makes of them."""
        network = self._network()
        # A body without weights has nothing to say yet: then all of the network is trained.
        if not isinstance(network, LocalNetwork) or not self.preset.recipe.frozen_body or self.pretrained == "none":
            return self.pictures
        return extract_features(
            network,
            self.pictures,
            self.preprocessing,
            hardware=self.hardware,
            cache=self.workdir / "features",
            on_batch=self._report_batch,
        )

    def _train(
        self,
        name: str,
        place: int,
        data: LabelledPictures | LabelledFeatures,
        validation: LabelledPictures | LabelledFeatures | None,
    ) -> tuple[torch.nn.Module, tuple[Epoch, ...]]:
        network = self._network()
        trained = network
        half = self.hardware.precision == torch.bfloat16
        if isinstance(network, LocalNetwork) and isinstance(data, LabelledFeatures):
            fit_scale(network, data)
            # A head costs next to nothing, so it is trained exactly.
            trained, half = network.head, False

        def validate(network: torch.nn.Module, epoch: Epoch) -> Epoch:
            if validation is None:
                return epoch
            return measure_epoch(network, validation, self.preprocessing, epoch, device=self.hardware.device, half=half)

        history = train(
            trained,
            data,
            self.preset.recipe,
            self.preprocessing,
            device=self.hardware.device,
            half=half,
            checkpoint=Checkpoint(path=self.workdir / f"{name}.pt", key=f"{self.key}-{name}"),
            validate=validate,
            on_step=partial(self._report, place),
        )
        return network.cpu().eval(), history

    def _report(self, place: int, step: Step) -> None:
        networks = self._fold_count + (self._fold_count > 1)
        self.on_step(replace(step, done=place * step.total + step.done, total=networks * step.total))

    def _report_batch(self, done: int, total: int) -> None:
        self.on_step(Step(done=done, total=total, epoch=0, loss=math.nan))
