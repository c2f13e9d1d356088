"""A retraining in Prefect: what was decided and why, the figures, and the way to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from flows.comparing import metrics_table

if TYPE_CHECKING:
    from casting_core.registry_types import RetrainSummary
    from flows.comparing import Compared

REPORT = "report.html"


def show_in_prefect(summary: RetrainSummary, compared: Compared, *, artifact_url: str) -> None:
    """Show the decision in the log and as artifacts in Prefect."""
    logger = get_run_logger()
    logger.info("%s: %s", summary.outcome, summary.why)
    try:
        create_markdown_artifact(key="retraining", markdown=decision_text(summary), description=summary.outcome)
        create_table_artifact(key="retraining-metrics", table=metrics_table(compared), description="On the golden set")
        create_link_artifact(
            key="retraining-report", link=f"{artifact_url}/{REPORT}", link_text=f"Report of {summary.challenger}"
        )
    except Exception:  # the decision is written; a server that is away must not fail the run
        logger.warning("Retraining %s could not be shown in Prefect", summary.retrain_id, exc_info=True)


def decision_text(summary: RetrainSummary) -> str:
    """The decision as Markdown: one line that says it, and what the gate looked at."""
    checks = "\n".join(
        f"| {'yes' if check['passed'] else '**no**'} | {check['name']} | {check['detail']} |"
        for check in summary.checks
    )
    return (
        f"# Retraining: {summary.outcome}\n\n{summary.why}\n\n"
        f"- challenger `{summary.challenger}`, champion `{summary.champion or 'none'}`\n"
        f"- {summary.images} labelled images, {summary.new_labels} labels new, {summary.left_out} images left out\n"
        f"- trained on {summary.training_castings} castings, compared on {summary.golden_castings} golden ones\n\n"
        f"| passed | check | found |\n|---|---|---|\n{checks}\n"
    )
