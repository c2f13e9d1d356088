import numpy as np
import pytest
from hypothesis import given

from casting_core.errors import InvalidInput
from casting_core.predictions import read_predictions, write_predictions
from casting_core.thresholds import Costs, choose_thresholds
from tests.casting_core.held_out_sets import held_out_of, held_out_sets

HELD_OUT = held_out_of([0, 1, 1, 0], [0.2, 0.9, 1 / 3, 0.25], [3, 1, 1, 7], [0, 1, 1, 2])


@given(held_out_sets())
def test_predictions_come_back_to_the_last_bit(held_out):
    assert read_predictions(write_predictions(held_out)) == held_out


def test_the_file_reads_like_a_table():
    rows = write_predictions(HELD_OUT).decode().splitlines()
    assert rows[:3] == [
        "image,label,casting,fold,p_defective",
        "file:///line/0.jpg,ok,3,0,0.2",
        "file:///line/1.jpg,defective,1,1,0.9",
    ]


def test_names_with_commas_quotes_and_umlauts_survive():
    held_out = held_out_of([0, 1], [0.2, 0.9])
    named = type(held_out)(**vars(held_out) | {"names": ('s3://a/Gehäuse "7", links.jpg', "plain.jpg")})
    assert read_predictions(write_predictions(named)).names == named.names


def test_thresholds_are_chosen_again_by_other_costs():
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    held_out = held_out_of(labels, 1 / (1 + np.exp(-generator.normal(4 * labels - 2, 1.5))))
    stored = write_predictions(held_out)
    usual, dear = (choose_thresholds(read_predictions(stored), Costs(review=review)) for review in (0.3, 0.9))
    assert usual == choose_thresholds(held_out, Costs())
    assert dear.defective_from - dear.ok_below < usual.defective_from - usual.ok_below


def test_a_file_saved_by_a_spreadsheet_is_understood():
    stored = b"\xef\xbb\xbf" + write_predictions(HELD_OUT).replace(b"\n", b"\r\n")
    assert read_predictions(stored) == HELD_OUT


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"", "lacks the columns image, label"),
        (b"image,label\n", "lacks the columns casting, fold, p_defective"),
        (b"\xff\xfe\x00", "no CSV file"),
        (b"image,label,casting,fold,p_defective\n", "at least one"),
        (b"image,label,casting,fold,p_defective\na,good,1,0,0.5\n", "row 2.*'good'"),
        (b"image,label,casting,fold,p_defective\na,ok,1,0,0.5\nb,ok,1,0,high\n", "row 3.*high"),
        (b"image,label,casting,fold,p_defective\na,ok,1\n", "row 2"),
        (b"image,label,casting,fold,p_defective\na,ok,1,0,7\n", "of a is 7.0"),
        (b"image,label,casting,fold,p_defective\na,ok,1,0,.5\na,ok,1,0,.5\n", "a stands twice"),
    ],
)
def test_a_file_that_holds_no_predictions_is_refused(stored, message):
    with pytest.raises(InvalidInput, match=f"^v7/predictions.csv.*{message}"):
        read_predictions(stored, where="v7/predictions.csv")
