"""A card that lacks anything serving needs is refused by name, and thresholds lead to the verdict they say."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from casting_core.card import CLASSES, ModelCard, Thresholds, version_name
from casting_core.errors import CardIncomplete


def stored(card, **changes):
    """The bytes of a card, with fields replaced, or taken out where None is given."""
    fields = json.loads(card.to_bytes()) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def test_a_card_comes_back_as_it_was_stored(make_card):
    card = make_card(temperature=1.37, metrics={"auroc": 0.9461, "escapes": 3}, data={"sha256": "ab", "parts": [1, 2]})
    assert ModelCard.from_bytes(card.to_bytes(), where="here") == card
    assert card.to_bytes() == ModelCard.from_bytes(card.to_bytes(), where="here").to_bytes()
    assert card.classes == CLASSES


def test_a_card_from_before_rings_were_measured_means_what_it_meant(make_card):
    card = make_card()
    preprocessing = json.loads(card.to_bytes())["preprocessing"]
    assert preprocessing.pop("typical_rings") is None
    assert ModelCard.from_bytes(stored(card, preprocessing=preprocessing), where="here") == card


@pytest.mark.parametrize(
    "field",
    [
        "version",
        "trained_at",
        "architecture",
        "decoding",
        "preprocessing",
        "gate",
        "temperature",
        "thresholds",
        "serving",
        "weights_sha256",
        "libraries",
        "data",
        "training",
        "metrics",
    ],
)
def test_a_card_that_lacks_a_field_names_it(make_card, field):
    with pytest.raises(CardIncomplete, match=rf"models/m1/card.json cannot be served: {field}: .*required.*restore"):
        ModelCard.from_bytes(stored(make_card(), **{field: None}), where="models/m1/card.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, r"format: "),
        ({"classes": ["defective", "ok"]}, r"classes\.0: .*classes\.1: "),
        ({"classes": ["ok", "defective", "review"]}, r"classes"),
        ({"version": "../other"}, r"version: "),
        ({"version": ".hidden"}, r"version: "),
        ({"version": "a/b"}, r"version: "),
        ({"trained_at": "2026-11-01T00:00:00"}, r"trained_at: .*timezone"),
        ({"temperature": 0}, r"temperature: "),
        ({"temperature": 1e999}, r"temperature: |card: "),
        ({"weights_sha256": "AB" * 32}, r"weights_sha256: "),
        (
            {"thresholds": {"ok_below": 0.8, "defective_from": 0.2}},
            r"thresholds: .*0\.8 lies above defective_from 0\.2",
        ),
        ({"thresholds": {"ok_below": -0.1}}, r"thresholds\.ok_below: "),
        ({"decoding": {"color": "hsv", "side": 64}}, r"decoding\.color: "),
        ({"decoding": {"color": "grey"}}, r"decoding\.side: "),
        ({"preprocessing": {"side": 64, "crop": 0.9}}, r"preprocessing\.crop: "),
        ({"gate": {"min_side": 0}}, r"gate\.min_side: "),
        ({"serving": {"engine": "tensorrt"}}, r"serving\.engine: "),
        ({"serving": {"precision": "int4"}}, r"serving\.precision: "),
        ({"unheard_of": 1}, r"unheard_of: "),
    ],
)
def test_a_card_with_a_wrong_value_names_it(make_card, changes, complaint):
    with pytest.raises(CardIncomplete, match=complaint):
        ModelCard.from_bytes(stored(make_card(), **changes), where="card.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"version": "\xff"}'])
def test_a_card_that_is_no_json_object_is_refused(content):
    with pytest.raises(CardIncomplete, match=r"card\.json cannot be served: card: "):
        ModelCard.from_bytes(content, where="card.json")


@pytest.mark.parametrize(
    ("p_defective", "verdict"),
    [
        (0.0, "ok"),
        (0.2999999, "ok"),
        (0.3, "review"),
        (0.6999999, "review"),
        (0.7, "defective"),
        (1.0, "defective"),
        (float("nan"), "review"),
    ],
)
def test_a_probability_leads_to_its_verdict(p_defective, verdict):
    assert Thresholds(ok_below=0.3, defective_from=0.7).verdict(p_defective) == verdict


@given(bounds=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), ps=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_higher_probability_never_leads_to_a_milder_verdict(bounds, ps):
    thresholds = Thresholds(ok_below=bounds[0], defective_from=bounds[1])
    severity = ["ok", "review", "defective"]
    lower, higher = (severity.index(thresholds.verdict(p)) for p in sorted(ps))
    assert lower <= higher
    if bounds[0] == bounds[1]:
        assert "review" not in {thresholds.verdict(p) for p in ps}


@pytest.mark.parametrize("wrong", [{"ok_below": 0.8}, {"defective_from": float("nan")}, {"defective_from": 1.01}])
def test_thresholds_that_cross_or_leave_0_to_1_are_refused(wrong):
    with pytest.raises(ValidationError):
        Thresholds(**wrong)


def test_names_of_versions_sort_by_time_and_are_allowed_on_a_card(make_card):
    moments = [
        datetime(2026, 9, 30, 23, tzinfo=UTC),
        datetime(2026, 10, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    ]
    names = [version_name(moment, "resnet50", "f" * 64) for moment in moments]
    assert names == sorted(names)
    assert names[1] == "20261001T000000Z-resnet50-ffffffff"
    assert [make_card(version=name).version for name in names] == names
