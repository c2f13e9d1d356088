"""`casting alerts simulate`: what the alarms promise, and how fast they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.console import JsonFlag, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from casting_core.alarm_scenario import Comparison


def simulate(
    p0: Annotated[float, typer.Option(help="Baseline: defectives per part while all is well, such as 0.02.")],
    ratio: Annotated[float, typer.Option(help="The climb to design for, as a multiple of the baseline.")] = 2.0,
    n: Annotated[int, typer.Option(help="Parts in a batch, one hour of a line.")] = 200,
    icc: Annotated[float, typer.Option(help="Intra-class correlation of the outcomes inside a batch.")] = 0.0,
    arl0: Annotated[
        float | None,
        typer.Option(help="Parts from one false alarm to the next.", show_default="that of the 3-sigma p-chart"),
    ] = None,
    auroc: Annotated[float, typer.Option(help="Of the model whose p_defective score_cusum watches.")] = 0.99,
    precision: Annotated[float, typer.Option(help="Share of the parts called defective that are.")] = 0.75,
    as_json: JsonFlag = False,
) -> None:
    """Compare control charts at one promised false-alarm rate: parts and hours until a climb is found."""
    from casting_core.alarm_simulation import compare

    with plain_errors():
        comparison = compare(p0=p0, ratio=ratio, n=n, icc=icc, arl0=arl0, auroc=auroc, precision=precision)
        if as_json:
            print_json(_as_json(comparison))
        else:
            _print(comparison)


def _as_json(comparison: Comparison) -> dict[str, Any]:
    def hours(parts: float | None) -> float | None:
        return None if parts is None else parts / comparison.n

    return {
        "p0": comparison.p0,
        "ratio": comparison.ratio,
        "n": comparison.n,
        "icc": comparison.icc,
        "arl0_promised_parts": comparison.arl0,
        "methods": [
            {
                "name": method.name,
                "arl0_parts": method.arl0_parts,
                "arl0_se": method.arl0_se,
                "arl0_hours": hours(method.arl0_parts),
                "arl1_parts": method.arl1_parts,
                "arl1_se": {ratio: method.arl1_se.get(ratio, 0.0) for ratio in method.arl1_parts},
                "arl1_hours": {ratio: hours(parts) for ratio, parts in method.arl1_parts.items()},
                "design": method.design,
            }
            for method in comparison.methods
        ],
    }


def _print(comparison: Comparison) -> None:
    def cell(parts: float | None, error: float = 0.0) -> str:
        if parts is None:
            return "never"
        return f"{parts:,.0f}" + (f" ± {error:,.0f}" if error else "") + f" ({parts / comparison.n:,.1f} h)"

    ratios = list(comparison.methods[0].arl1_parts)
    print_table(
        ["chart", "ARL0", *(f"x {ratio}" for ratio in ratios)],
        [
            [
                method.name,
                cell(method.arl0_parts, method.arl0_se),
                *(cell(method.arl1_parts[ratio], method.arl1_se.get(ratio, 0.0)) for ratio in ratios),
            ]
            for method in comparison.methods
        ],
        title=(
            f"Parts (hours of {comparison.n}) to a false alarm, and until a climb is found. "
            f"Baseline {comparison.p0:.3%}, correlation {comparison.icc:g} inside hours, one false alarm promised in "
            f"{comparison.arl0:,.0f} parts. ± is the standard error of a simulation; the rest is exact."
        ),
    )
