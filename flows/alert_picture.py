"""The chart of an alert, drawn from what the database holds of its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casting_core.alert_types import AlertId
    from flows.resources import Resources


def draw_picture(_resources: Resources, _alert_id: AlertId) -> bytes | None:
    """Draw an alert's chart as PNG; None for the kinds that have no rate to show."""
