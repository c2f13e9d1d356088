"""The charts of a stream follow from its parts alone, however they are cut into batches and whenever they arrive."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casting_core.baselines import StreamBaseline, fleet_baselines
from casting_core.chart_plan import CHARTS, OF_DEFECTS, SHARES, Plan, charts_of
from casting_core.chart_records import Chart
from casting_core.errors import InvalidInput
from casting_core.findings import alarmed
from casting_core.production import MICROSECONDS_PER_HOUR, OK, REVIEW, Verdicts, in_production_order
from casting_core.rates import Accuracy
from casting_core.streams import attribute_of, attribute_stream, fleet_of, line_of, name_of_stream
from casting_core.types import Window
from casting_core.watching import Advanced, advance_charts
from tests.histories import START

REFERENCE = Window(since=START, until=START.replace(day=4))


def baseline(kind="defect_rate_climb", stream="", **changed):
    given = {
        "kind": kind,
        "stream": stream,
        "rate": 0.02,
        "low": 0.01,
        "high": 0.03,
        "counted": 40.0,
        "inspected": 2_000,
        "own_weight": 0.0,
        "icc": 0.0,
        "parts_per_hour": 100.0,
        "batch": 100,
        "streams": 1,
        "model_id": 1,
        "reference": REFERENCE,
        "valid_from_hour": 0,
        "baseline_id": 1,
    }
    return StreamBaseline(**(given | changed))


def plan_of(*baselines, **changed):
    known = {}
    for each in baselines or [baseline(), baseline("quarantine_rate_climb"), baseline("review_rate_climb")]:
        known[each.kind, each.stream] = (*known.get((each.kind, each.stream), ()), each)
    return Plan(**({"baselines": known, "budget_days": 5.0} | changed))


def verdicts(scores, *, hours, model=1, quarantined=(), line=0):
    """Verdicts of parts numbered in the order given, spread over hours."""
    scores = np.asarray(scores, dtype=float)
    count = scores.size
    outcome = np.where(scores >= 0.7, 2, np.where(scores >= 0.3, 1, 0)).astype(np.uint8)
    outcome[list(quarantined)] = 3
    return Verdicts(
        line=np.full(count, line, dtype=np.int16),
        captured_at=np.asarray(hours, dtype=np.int64) * MICROSECONDS_PER_HOUR,
        outcome=outcome,
        p_defective=scores,
        part_id=np.array([f"P{number}" for number in range(count)], dtype=np.bytes_),
        attributes=np.full(count, b"", dtype="S1"),
        model_id=np.full(count, model, dtype=np.int64),
        key=np.arange(count, dtype=np.int64),
        image_id=np.arange(count, dtype=np.int64),
        rank=np.zeros(count, dtype=np.int64),
    )


def hours_of(scores, *, per_hour=50, **options):
    hours = np.arange(len(scores)) // per_hour
    return list(in_production_order(verdicts(scores, hours=hours, **options))[0].by_hour())


def watch(plan, hours, charts=None):
    return advance_charts(plan, "cam1", charts or {}, hours)


def steady(generator, count, rate=0.02):
    defective = generator.random(count) < rate
    return np.where(defective, 0.9, 0.05 + 0.1 * generator.random(count))


@settings(max_examples=25)
@given(st.data())
def test_the_same_hours_in_any_batching_end_in_the_same_charts(data):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rates = np.repeat(generator.choice([0.0, 0.02, 0.3, 1.0], size=12), 40)
    scores = np.where(generator.random(480) < rates, 0.5 + 0.5 * generator.random(480), 0.3 * generator.random(480))
    hours = hours_of(scores, per_hour=40, quarantined=np.flatnonzero(generator.random(480) < 0.03))
    idle = data.draw(st.integers(0, 11))
    plan = plan_of(budget_days=0.2, maintenance={"cam1": ((idle, idle),)})
    keep_from = data.draw(st.integers(0, 12))
    whole = advance_charts(plan, "cam1", {}, hours, keep_from=keep_from)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(hours) - 1))))
    charts, over = {}, []
    for begin, end in zip([0, *cuts], [*cuts, len(hours)], strict=True):
        step = watch(plan, hours[begin:end], charts)
        # As they come back from the database.
        charts = {name: Chart.from_json(json.loads(json.dumps(chart.as_json()))) for name, chart in step.charts.items()}
        over += step.over
    assert charts == whole.charts
    kept = [hour for hour, _ in hours if hour >= keep_from]
    assert whole.after == {hour: watch(plan, hours[: hour + 1]).charts for hour in kept}
    # Each chart's alarms in order; of several charts one after the other.
    assert sorted(over, key=repr) == sorted(whole.over, key=repr)


@settings(max_examples=25)
@given(st.data())
def test_verdicts_in_any_order_of_arrival_give_the_same_parts(data):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    count = 60
    given_order = verdicts(generator.random(count), hours=generator.integers(0, 3, count))
    # Views of the same part, judged by two models, some overwritten.
    given_order = replace(
        given_order,
        part_id=generator.choice(np.array([b"P9", b"P10", b"P11", b"P100"]), count),
        key=generator.integers(0, 20, count),
        rank=generator.permutation(count).astype(np.int64),
    )
    order = generator.permutation(count)
    first, second = in_production_order(given_order)[0], in_production_order(given_order.take(order))[0]
    for field in ("hour", "part_id", "outcome", "p_defective", "captured_at"):
        assert getattr(first, field).tolist() == getattr(second, field).tolist()
    # One part a line and hour, whatever its views.
    assert len({(hour, part) for hour, part in zip(first.hour, first.part_id, strict=True)}) == len(first)


def test_parts_of_one_moment_stand_in_the_order_of_a_counter():
    some = replace(verdicts([0.1] * 3, hours=[0, 0, 0]), part_id=np.array([b"P10", b"P9", b"P100"]))
    assert in_production_order(some)[0].part_id.tolist() == [b"P9", b"P10", b"P100"]


def test_parts_of_equal_times_end_in_the_same_charts_in_whatever_order_they_arrive():
    generator = np.random.default_rng(4)
    # A hundred parts an hour, all of one moment.
    some = verdicts(steady(generator, 1_000, rate=0.1), hours=np.arange(1_000) // 100)
    shuffled = some.take(generator.permutation(1_000))
    first, second = (list(in_production_order(each)[0].by_hour()) for each in (some, shuffled))
    assert np.unique(first[0][1].captured_at).size == 1
    charts = watch(plan_of(), first)
    assert charts.charts["defects"].alarm is not None
    assert watch(plan_of(), second) == charts
    backwards = [(hour, parts.take(slice(None, None, -1))) for hour, parts in first]
    assert watch(plan_of(), backwards) != charts


def test_a_day_without_parts_has_none():
    nothing = verdicts([], hours=[])
    assert in_production_order(nothing) == {}
    some = in_production_order(verdicts([0.1, 0.2, 0.9], hours=[0, 0, 5]))[0]
    assert [(hour, len(parts)) for hour, parts in some.by_hour()] == [(0, 2), (5, 1)]
    assert list(some.take(slice(0, 0)).by_hour()) == []


def test_the_worst_view_speaks_for_its_part_and_what_is_superseded_does_not():
    some = verdicts([0.1, 0.9, 0.5, 0.95], hours=[0] * 4)
    some = replace(
        some,
        part_id=np.array([b"P1", b"P1", b"P1", b"P1"]),
        key=np.array([0, 1, 2, 2]),
        # The last one was overwritten by the one before it.
        image_id=np.array([0, 1, 9, 3]),
    )
    parts = in_production_order(some)[0]
    assert (parts.outcome.tolist(), parts.p_defective.tolist()) == ([2], [0.9])
    of_two_models = replace(
        verdicts([0.9, 0.1], hours=[0, 0]),
        part_id=np.array([b"P1", b"P1"]),
        key=np.zeros(2, dtype=np.int64),
        image_id=np.zeros(2, dtype=np.int64),
        model_id=np.array([1, 2]),
        rank=np.array([5, 7]),
    )
    parts = in_production_order(of_two_models)[0]
    assert (parts.outcome.tolist(), parts.model_id.tolist()) == ([OK], [2])


def test_a_quarantined_picture_is_an_observation_of_its_own():
    some = replace(verdicts([0.1, 0.9, 0.2], hours=[0] * 3, quarantined=[1]), part_id=np.array([b"P1", b"P1", b"P2"]))
    assert sorted(in_production_order(some)[0].outcome.tolist()) == [0, 0, 3]


def test_a_climb_signals_and_is_over_only_once_the_rate_is_back():
    generator = np.random.default_rng(5)
    quiet, climb = steady(generator, 2_000), steady(generator, 2_000, rate=0.1)
    charts = watch(plan_of(), hours_of(np.concatenate([quiet, climb]))).charts
    alarm = charts["defects"].alarm
    assert alarm is not None
    assert 40 <= alarm.place.hour <= 50
    assert alarm.earliest.hour <= alarm.onset.hour <= alarm.latest.hour
    assert alarm.earliest.hour <= 40 <= alarm.latest.hour
    hours = hours_of(np.concatenate([quiet, climb, steady(generator, 4_000)]))
    back = watch(plan_of(), hours)
    assert back.charts["defects"].alarm is None
    ended = [each for name, _, each in back.over if name == "defects"]
    assert [(each.place, each.over > 80) for each in ended] == [(alarm.place, True)]
    step, over = Advanced(charts={}), []
    for hour in hours:
        step = watch(plan_of(), [hour], step.charts)
        over += step.over
    assert (step.charts, sorted(over, key=repr)) == (back.charts, sorted(back.over, key=repr))


def test_a_climb_smaller_than_the_one_worth_knowing_is_found_by_the_chart_for_it():
    plan = plan_of(baseline(streams=50), budget_days=30.0)
    # Two in a hundred, then one in 36: more than the chart for it takes for well, and less than the other's reference.
    scores = np.full(15_000, 0.1)
    scores[np.concatenate([np.arange(0, 2_000, 50), np.arange(2_000, 15_000, 36)])] = 0.9
    charts = watch(plan, hours_of(scores, per_hour=100)).charts
    assert charts["defects"].alarm is None
    assert [(name, alarm.place.hour >= 20) for name, alarm in alarmed(charts)] == [("defects_low", True)]


def test_charts_share_one_budget():
    assert sum(SHARES.values()) == pytest.approx(1)
    assert set(SHARES) == set(CHARTS)


def test_a_baseline_of_nothing_has_a_chart_and_one_of_everything_has_nothing_to_climb_to():
    charts = watch(plan_of(baseline(rate=1e-9, low=0)), hours_of([0.9] * 200)).charts
    assert charts["defects"].footing.design.baseline == 0.002
    assert charts["defects"].alarm is not None
    charts = watch(plan_of(baseline(rate=1 - 1e-9, high=1)), hours_of([0.9] * 200)).charts
    assert charts["defects"].footing is None


def test_a_ratio_that_leads_above_one_is_taken_half_way_there():
    design = watch(plan_of(baseline(rate=0.6, high=0.7)), hours_of([0.9] * 10)).charts["defects"].footing.design
    assert (design.baseline, design.climb) == (0.6, pytest.approx(0.8))


def test_no_parts_one_part_and_all_defective():
    assert watch(plan_of(), []).charts == {}
    one = watch(plan_of(), hours_of([0.1])).charts
    assert one["defects"].cusum.parts == 1
    assert one["defects"].alarm is None
    assert watch(plan_of(), hours_of([0.95] * 100)).charts["defects"].alarm is not None


def test_without_a_baseline_the_defect_rate_is_not_watched():
    charts = watch(Plan(), hours_of([0.9] * 100)).charts
    assert charts["defects"].footing is None
    assert charts["defects"].alarm is None


def test_a_new_model_with_known_errors_is_no_climb():
    generator = np.random.default_rng(8)
    before = Accuracy(detected=95, defective=100, passed=980, sound=1000)
    # The new model rejects 6 % of the sound castings instead of 2 %.
    after = Accuracy(detected=95, defective=100, passed=940, sound=1000)
    old, new = steady(generator, 3_000, rate=0.03), steady(generator, 6_000, rate=0.07)
    hours = hours_of(old)
    start = hours[-1][0] + 1
    hours += [(start + hour, parts) for hour, parts in hours_of(new, model=2)]
    knowing = plan_of(baseline(rate=0.03, inspected=30_000), accuracies={1: before, 2: after})
    charts = watch(knowing, hours)
    assert charts.charts["defects"].footing.source == "carried"
    assert charts.charts["defects"].footing.rate == pytest.approx(0.07, abs=0.01)
    assert (charts.charts["defects"].alarm, [each for each in charts.over if each[0] == "defects"]) == (None, [])
    ignorant = watch(plan_of(baseline(rate=0.03)), hours).charts["defects"]
    assert ignorant.footing.source == "uncorrected"
    assert ignorant.alarm is not None


def test_another_model_does_not_end_a_climb():
    generator = np.random.default_rng(9)
    hours = hours_of(steady(generator, 1_000, rate=0.15))
    alarmed = watch(plan_of(), hours).charts
    start = hours[-1][0] + 1
    after = [(start + hour, parts) for hour, parts in hours_of(steady(generator, 100, rate=0.15), model=2)]
    charts = watch(plan_of(), after, alarmed).charts
    assert charts["defects"].segment.model_id == 2
    assert charts["defects"].alarm == alarmed["defects"].alarm is not None


def test_a_person_lets_a_chart_begin_anew():
    hours = hours_of([0.9] * 200, per_hour=50)
    plan = plan_of(restarts={("cam1", "defect_rate_climb"): (3,)})
    chart = watch(plan, hours).charts["defects"]
    assert chart.segment.restarted == 3
    assert chart.cusum.phase_start < 50
    assert chart.alarm.place.hour == 3


def test_hours_in_maintenance_change_nothing():
    hours = hours_of([0.1] * 100 + [0.95] * 100)
    quiet = watch(plan_of(), hours[:2])
    assert watch(plan_of(maintenance={"cam1": ((2, 3),)}), hours) == quiet
    assert watch(plan_of(maintenance={"": ((2, 3),)}), hours) == quiet
    assert watch(plan_of(maintenance={"cam2": ((2, 3),)}), hours) != quiet


def test_scores_that_drift_are_noticed_in_the_tail_without_any_verdict_changing():
    generator = np.random.default_rng(3)
    quiet, drifted = generator.beta(2, 20, 6_000), np.minimum(0.29, 1.8 * generator.beta(2, 20, 3_000))
    quiet = np.minimum(0.29, quiet)
    charts = watch(plan_of(), hours_of(quiet, per_hour=100)).charts
    assert [charts[name].alarm for name in CHARTS] == [None] * len(CHARTS)
    assert 0.05 < charts["score_high"].footing.rate < 0.2
    charts = watch(plan_of(), hours_of(np.concatenate([quiet, drifted]), per_hour=100)).charts
    assert charts["score_high"].alarm.place.hour >= 60
    assert charts["defects"].alarm is None


def test_scores_on_one_value_make_no_chart():
    charts = watch(plan_of(), hours_of([0.1] * 4_000, per_hour=200)).charts
    assert charts["score_high"].idle
    assert charts["score_low"].idle


def test_more_parts_in_review_and_more_pictures_in_quarantine_signal_on_their_own_charts():
    charts = watch(plan_of(), hours_of([0.1] * 500 + [0.35] * 100)).charts
    assert charts["review"].alarm is not None
    charts = watch(plan_of(), hours_of([0.1] * 600, quarantined=range(500, 600))).charts
    assert charts["quarantine"].alarm is not None
    assert charts["defects"].alarm is None


def test_a_stored_chart_of_another_release_is_refused():
    with pytest.raises(InvalidInput, match="stored chart cannot be read"):
        Chart.from_json({"segment": [1, None, None]})


def test_fleet_baselines_shrink_and_a_stream_without_history_runs_on_the_fleet():
    generator = np.random.default_rng(1)
    parts_of = {
        name: in_production_order(verdicts(steady(generator, count, rate), hours=np.arange(count) // 100))[0]
        for name, count, rate in (("cam1", 4_000, 0.02), ("cam2", 4_000, 0.06), ("cam3", 30, 0.5))
    }
    found = fleet_baselines(parts_of, REFERENCE, model_id=7, valid_from_hour=9)
    rates = {each.stream: each for each in found if each.kind == "defect_rate_climb"}
    assert rates["cam1"].rate == pytest.approx(0.02, abs=0.008)
    assert rates["cam2"].rate == pytest.approx(0.06, abs=0.012)
    assert rates[""].on_fleet
    assert (rates["cam1"].on_fleet, rates["cam1"].streams, rates["cam1"].model_id) == (False, 3, 7)
    plan = plan_of(*found)
    assert plan.footing("defects", "new", 10, plan.segment("defects", "new", 10, 7)).source == "fleet"
    assert plan.footing("defects", "cam1", 10, plan.segment("defects", "cam1", 10, 7)).source == "own"
    with pytest.raises(InvalidInput, match="no part was judged"):
        fleet_baselines({}, REFERENCE, model_id=None, valid_from_hour=0)


def test_parts_in_review_count_by_their_p_defective():
    sound, in_review = hours_of([0.1] * 3), hours_of([0.5] * 3)
    assert in_review[0][1].outcome.tolist() == [REVIEW] * 3
    plan = plan_of(baseline(review=((0.45, 0.01),)))
    assert (
        watch(plan, in_review).charts["defects"].cusum.statistic > watch(plan, sound).charts["defects"].cusum.statistic
    )


def test_parts_are_told_apart_by_each_of_their_attributes():
    told = [b"mould=M1\x1f", b"furnace=2\x1fmould=M2\x1f", b"", b"furnace=2\x1fmould=M1\x1f"]
    rows = replace(verdicts([0.1] * 4, hours=[0, 0, 1, 1]), attributes=np.array(told, dtype=np.bytes_))
    parts = in_production_order(rows)[0]
    found = {attribute: shared.part_id.tolist() for attribute, shared in parts.by_attribute().items()}
    assert found == {
        ("furnace", "2"): [b"P1", b"P3"],
        ("mould", "M1"): [b"P0", b"P3"],
        ("mould", "M2"): [b"P1"],
    }
    assert len(parts.of_attribute("mould", "M9")) == 0


@pytest.mark.parametrize(
    ("stream", "line", "attribute", "fleet", "name"),
    [
        ("line-a", "line-a", None, "", "line-a"),
        ("line-a/mould=M7", "line-a", ("mould", "M7"), "/mould=", "line-a, mould M7"),
        ("line-a/mould=a/b=c", "line-a", ("mould", "a/b=c"), "/mould=", "line-a, mould a/b=c"),
        ("/mould=", "", ("mould", ""), "/mould=", "mould, all"),
        ("", "", None, "", ""),
    ],
)
def test_a_stream_is_named_after_its_line_and_what_its_parts_share(stream, line, attribute, fleet, name):
    assert line_of(stream) == line
    assert attribute_of(stream) == attribute
    assert fleet_of(stream) == fleet
    assert name_of_stream(stream) == name
    if attribute is not None:
        assert attribute_stream(line, *attribute) == stream


def test_lines_and_moulds_together_keep_the_fleets_budget():
    generator = np.random.default_rng(5)
    hours = np.repeat(np.arange(100), 100)
    lines = {
        line: in_production_order(verdicts((generator.random(hours.size) < 0.03) * 0.9, hours=hours))[0]
        for line in ("line-a", "line-b")
    }
    moulds = {
        attribute_stream(line, "mould", str(number)): parts.take(slice(number, None, 5))
        for line, parts in lines.items()
        for number in range(5)
    }
    reference = Window(since=START, until=START + timedelta(hours=100))
    found = [
        *fleet_baselines(lines, reference, model_id=1, valid_from_hour=0, share=0.5),
        *fleet_baselines(moulds, reference, model_id=1, valid_from_hour=0, fleet="/mould=", share=0.5),
    ]
    plan = Plan(baselines={(each.kind, each.stream): (each,) for each in found})
    false_alarms_a_day = 0.0
    for stream in (*lines, *moulds):
        for name in charts_of(stream):
            if name in OF_DEFECTS:
                parts_per_day = 24 * plan.baseline(name, stream, 0).parts_per_hour
                segment = plan.segment(name, stream, 0, 1)
                false_alarms_a_day += parts_per_day / plan.footing(name, stream, 0, segment).design.arl0
    share = sum(SHARES[name] for name in OF_DEFECTS)
    # Rounded to the safe side, so that streams share designs; one percent is what a quick design may be off.
    assert 0.8 * share / 30 < false_alarms_a_day < 1.01 * share / 30
