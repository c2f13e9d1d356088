"""The model card: everything that serving needs beside the weights, and where the model comes from."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from casting_core.errors import CardIncomplete
from casting_core.images import Decoding, ImageGate
from casting_core.preprocess import Preprocessing
from casting_core.types import VerdictName

CLASSES = ("ok", "defective")
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Thresholds(BaseModel):
    """Where p_defective becomes a verdict: ok below the first, defective from the second on, review between."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ok_below: float = Field(default=0.3, ge=0, le=1)
    defective_from: float = Field(default=0.7, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Thresholds":
        if self.ok_below > self.defective_from:
            raise ValueError(f"ok_below {self.ok_below} lies above defective_from {self.defective_from}")
        return self

    def verdict(self, p_defective: float) -> VerdictName:
        """The verdict that a probability leads to."""
        if p_defective >= self.defective_from:
            return "defective"
        return "ok" if p_defective < self.ok_below else "review"


class Serving(BaseModel):
    """The engine and precision that the model was evaluated in, and is served in.

    `files` are the sha256 of what the engine reads instead of the weights, by name in the artifact's folder. `others`
    says of each other precision that was tried why it does not serve.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["torch", "openvino"] = "torch"
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    files: dict[str, _Sha256] = {}
    others: dict[str, str] = {}

    @model_validator(mode="after")
    def _known_pair(self) -> "Serving":
        if (self.engine == "openvino") != (self.precision == "int8") or (self.engine == "openvino") != bool(self.files):
            raise ValueError(
                f"{self.engine} with {self.precision} and {len(self.files)} files is no way of serving: torch computes "
                "in float32 or bfloat16, openvino in int8 from its own files"
            )
        return self


class ModelCard(BaseModel):
    """The card of one artifact. `card.json` holds it; its bytes' sha256 is the artifact's.

    `version` names the model for people. `temperature` divides the logits before the softmax. `data` says what it
    was trained on, `training` how, `metrics` how well it did on what it had not seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal[1] = 1
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    trained_at: AwareDatetime
    architecture: str
    classes: tuple[Literal["ok"], Literal["defective"]] = ("ok", "defective")
    decoding: Decoding
    preprocessing: Preprocessing
    gate: ImageGate
    temperature: float = Field(gt=0, allow_inf_nan=False)
    thresholds: Thresholds
    serving: Serving
    weights_sha256: _Sha256
    libraries: dict[str, str]
    data: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]

    def to_bytes(self) -> bytes:
        """The card as it is stored: JSON for people to read."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    @staticmethod
    def from_bytes(content: bytes, *, where: str) -> "ModelCard":
        """Parse a stored card. Raises CardIncomplete, naming each field that is missing or wrong."""
        try:
            return ModelCard.model_validate_json(content)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'card'}: {fault['msg']}" for fault in error.errors()
            )
            raise CardIncomplete(
                f"The model card {where} cannot be served: {faults}. Train the model again, or restore its artifact."
            ) from error


def version_name(trained_at: datetime, architecture: str, weights_sha256: str) -> str:
    """A name that sorts by time and tells the network: 20261123T081502Z-resnet50-1f3a9c02."""
    return f"{trained_at:%Y%m%dT%H%M%SZ}-{architecture}-{weights_sha256[:8]}"
