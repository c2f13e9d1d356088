import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from casting_core.card import Thresholds
from casting_core.errors import InvalidInput
from casting_core.evaluation_evidence import Epoch, EvaluationEvidence, HeatMap, TrainingSample
from casting_core.evaluation_pictures import look_at, spread, troubled, worst
from casting_core.evaluation_report import build_report
from tests.casting_core.held_out_sets import held_out_of

THRESHOLDS = Thresholds(ok_below=0.3, defective_from=0.7)
LABELS = np.arange(24) % 2
P_DEFECTIVE = np.array([0.1, 0.9] * 8 + [0.2, 0.8, 0.9, 0.1, 0.5, 0.5, 0.25, 0.2])
CASTINGS = np.arange(24) // 6 * 2 + LABELS


@pytest.fixture(scope="module")
def make_evidence(make_card, casting_files):
    """Make the evidence of a small model that errs in each way; arguments replace single parts of it."""

    def make_evidence(**changes):
        held_out = held_out_of(LABELS, P_DEFECTIVE, CASTINGS)
        content = dict(zip(held_out.names, casting_files * 2, strict=True))
        samples = [TrainingSample(name=f"t{index}", label="ok") for index in range(5)]
        parts = {
            "held_out": held_out,
            "card": make_card(thresholds=THRESHOLDS),
            "split": "group",
            "read": lambda name: content.get(name, casting_files[0]),
            "history": [
                Epoch(epoch=epoch, training_loss=1 / epoch, validation_loss=0.5, validation_auroc=0.9, fold=fold)
                for fold in (0, 1)
                for epoch in (1, 2, 3)
            ],
            "training_samples": [*samples, TrainingSample(name="t9", label="defective")],
            "explain": lambda contents: [_heat_map()] * len(contents),
        }
        return EvaluationEvidence(**parts | changes)

    return make_evidence


@pytest.fixture(scope="module")
def report(make_evidence):
    """The report of that model."""
    return build_report(make_evidence())


def _heat_map():
    return HeatMap(seen=np.full((1, 64, 64), 90, np.uint8), evidence=np.eye(4, dtype=np.float32))


class Page(HTMLParser):
    """What a page shows and what it would fetch."""

    def __init__(self, content):
        super().__init__()
        self.sources, self.text = [], []
        self.feed(content.decode())

    def handle_starttag(self, _tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_every_picture_is_there_and_the_page_needs_nothing_else(report):
    assert set(report) == {
        "training_samples.png",
        "training_chart.png",
        "validation_predictions.png",
        "roc_and_precision_recall.png",
        "reliability.png",
        "confusion_matrix.png",
        "trade_off.png",
        "heat_maps_1.png",
        "report.html",
    }
    for name, content in report.items():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(content)) as image:
                assert min(image.size) >= 300, name
    page = Page(report["report.html"])
    assert len(page.sources) == 5 + 2 * 5 + 24 + 6
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not re.search(rb"https?://|@import|url\(", report["report.html"])


def test_the_first_words_answer_whether_to_trust_it(report):
    text = " ".join("".join(Page(report["report.html"]).text).split())
    question, answer = "Could a person trust this model?", "Not yet without people behind it. It misses"
    in_order = [text.index(words) for words in (question, answer, "What was not tested", "Against the goals")]
    assert in_order == sorted(in_order)
    assert "2 of 12 defective images" in text
    assert "leaks" not in text


def test_a_random_split_warns_in_plain_words(make_evidence):
    text = "".join(Page(build_report(make_evidence(split="random"))["report.html"]).text)
    assert "it leaks: pictures of one casting lie on both sides" in text


def test_what_is_missing_is_left_out(make_evidence):
    files = build_report(make_evidence(history=(), training_samples=(), explain=None))
    assert not {"training_samples.png", "training_chart.png", "heat_maps_1.png"} & set(files)
    assert b"Missed or left to review" in files["report.html"]


def test_a_model_without_error_has_nothing_to_explain(make_evidence):
    held_out = held_out_of(LABELS, LABELS * 0.8 + 0.1, CASTINGS)
    files = build_report(make_evidence(held_out=held_out))
    assert "heat_maps_1.png" not in files
    assert b"Missed or left to review" not in files["report.html"]


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_that_was_not_held_out_still_gives_a_report(make_evidence, label):
    chosen = label == LABELS
    files = build_report(make_evidence(held_out=held_out_of(LABELS, P_DEFECTIVE, CASTINGS).subset(chosen)))
    assert b"one class alone" in files["report.html"]


def test_saturated_probabilities_can_be_drawn(make_evidence):
    held_out = held_out_of(LABELS, np.where(LABELS == 1, 1.0, 0.0), CASTINGS)
    assert build_report(make_evidence(held_out=held_out))["trade_off.png"]


def test_names_cannot_write_into_the_page(make_evidence, make_card):
    held_out = held_out_of(LABELS, P_DEFECTIVE, CASTINGS)
    named = type(held_out)(**vars(held_out) | {"names": tuple(f"s3://a/<script>{n}.jpg" for n in range(24))})
    card = make_card(thresholds=THRESHOLDS, training={"note": "<script>alert(1)</script>"})
    assert b"<script" not in build_report(make_evidence(held_out=named, card=card))["report.html"]


def test_escapes_come_before_false_rejects_and_reviews():
    looked = look_at(held_out_of(LABELS, P_DEFECTIVE, CASTINGS), THRESHOLDS)
    assert [each.trouble for each in troubled(looked)] == ["escape", "escape", "false reject", "review", "review"]
    assert [each.p_defective for each in troubled(looked)[:2]] == [0.1, 0.2]
    assert [each.wrong_by for each in looked] == sorted((each.wrong_by for each in looked), reverse=True)


def test_one_casting_does_not_hide_the_others():
    looked = look_at(held_out_of([1] * 20 + [0], [0.01] * 20 + [0.6], [0] * 20 + [1]), THRESHOLDS)
    assert [each.casting for each in worst(looked)] == [0, 0, 0, 1]


def test_samples_come_from_all_over_and_both_classes():
    samples = [TrainingSample(name=str(n), label="ok" if n < 90 else "defective") for n in range(100)]
    chosen = spread(samples, most=10)
    assert [sample.name for sample in chosen] == ["0", "22", "44", "66", "89", "90", "92", "94", "96", "99"]
    assert spread([]) == []


def test_a_history_out_of_order_is_refused(make_evidence):
    with pytest.raises(InvalidInput, match="one record for each fold and epoch"):
        make_evidence(history=[Epoch(epoch=2, training_loss=1.0), Epoch(epoch=1, training_loss=1.0)])
