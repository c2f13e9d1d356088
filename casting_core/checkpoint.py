"""Where a training run stands, on disk after every epoch, so that a killed run goes on from there."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file that holds the state of one training run. `key` names the run: data, recipe and all else that counts."""

    path: Path
    key: str

    def load(self) -> dict[str, Any] | None:
        """Give the state that was saved last, or None where there is none of this run."""
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            # Whatever it was, it is no state to go on from; the run begins anew and replaces it.
            return None
        return saved["state"] if isinstance(saved, dict) and saved.get("key") == self.key else None

    def save(self, state: dict[str, Any]) -> None:
        """Write the state, whole or not at all: a kill meanwhile leaves the one before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save({"key": self.key, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)
