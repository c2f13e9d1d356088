"""Claimed images become judgements, one each; trouble with the storage says nothing about an image."""

import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch
from PIL import Image

from casting_core.errors import BucketMissing, StorageDenied, StorageUnavailable
from casting_core.judging import judge_images
from casting_core.model import build_network
from casting_core.scoring import Hardware, network_scorer
from casting_core.stages import StageClock
from casting_core.storage import open_store
from casting_core.synthetic import make_casting, render
from casting_core.types import ClaimedImage, Prediction, Rejection

DENIED = Rejection(reason="access_denied", detail="no right")


class Shelf:
    """A store of given contents that notes what is fetched together."""

    def __init__(self, contents):
        self.contents = contents
        self.fetched = []

    def fetch(self, objects):
        self.fetched.append([uri for uri, _ in objects])
        return {(uri, etag): self.contents[uri] for uri, etag in objects}


@pytest.fixture(scope="module")
def content():
    target = io.BytesIO()
    Image.fromarray(render(make_casting(1, defective=False), size=96)).save(target, format="PNG")
    return target.getvalue()


@pytest.fixture
def scorer(make_card):
    torch.manual_seed(0)
    hardware = Hardware(device=torch.device("cpu"), precision=torch.float32)
    return network_scorer(build_network("squeezenet1_1"), make_card(), hardware, batch_size=8)


def claimed(count, *, size=1000):
    moment = datetime(2026, 11, 23, 7, tzinfo=UTC)
    return [
        ClaimedImage(image_id=number, captured_at=moment, uri=f"u{number}", etag="e", size=size)
        for number in range(count)
    ]


def test_each_image_gets_the_outcome_of_its_own_bytes(scorer, content):
    shelf = Shelf({"u0": content, "u1": b"text", "u2": DENIED})
    judgements = {j.image.image_id: j for j in judge_images(shelf, scorer, claimed(3))}
    assert isinstance(judgements[0].outcome, Prediction)
    assert judgements[0].sha256 == hashlib.sha256(content).digest()
    assert judgements[1].outcome.reason == "not_an_image"
    assert judgements[1].sha256 == hashlib.sha256(b"text").digest()
    assert judgements[2].outcome == DENIED
    assert judgements[2].sha256 is None


def test_a_chunk_refused_as_a_whole_is_wrong_credentials_and_not_so_many_bad_images(scorer):
    with pytest.raises(StorageDenied, match="Give the credentials the right"):
        judge_images(Shelf({f"u{n}": DENIED for n in range(8)}), scorer, claimed(8))
    few = judge_images(Shelf({f"u{n}": DENIED for n in range(3)}), scorer, claimed(3))
    assert [j.outcome for j in few] == [DENIED] * 3


def test_a_share_that_is_not_mounted_quarantines_nothing(scorer, content, tmp_path):
    share = tmp_path / "share"
    images = [replace(image, uri=(share / f"cam1/{image.uri}.png").as_uri()) for image in claimed(2)]
    store = open_store(share.as_uri())
    with pytest.raises(BucketMissing, match="share does not exist"):
        judge_images(store, scorer, images)
    share.mkdir()
    with pytest.raises(BucketMissing, match="Mount the share there"):
        judge_images(store, scorer, images)
    # Once there is anything, what is not there was deleted.
    (share / "cam1").mkdir()
    assert {j.outcome.reason for j in judge_images(store, scorer, images)} == {"missing"}


def test_an_object_beyond_the_limit_is_refused_without_fetching_it(scorer, content):
    huge = scorer.card.gate.max_bytes + 1
    shelf = Shelf({"u0": content, "u1": content})
    images = [*claimed(1), *claimed(2, size=huge)[1:]]
    outcomes = {j.image.image_id: j.outcome for j in judge_images(shelf, scorer, images)}
    assert outcomes[1].reason == "too_large"
    assert isinstance(outcomes[0], Prediction)
    assert shelf.fetched == [["u0"]]


def test_large_pictures_are_fetched_a_few_at_a_time(scorer, content):
    shelf = Shelf({f"u{n}": content for n in range(5)})
    judgements = judge_images(shelf, scorer, claimed(5, size=30_000_000))
    assert [len(together) for together in shelf.fetched] == [2, 2, 1]
    assert [j.image.image_id for j in judgements] == list(range(5))


def test_storage_in_trouble_is_nobodys_verdict(scorer):
    class Away:
        def fetch(self, _objects):
            raise StorageUnavailable("away")

    with pytest.raises(StorageUnavailable):
        judge_images(Away(), scorer, claimed(2))


def test_an_empty_claim_is_no_work(scorer):
    shelf = Shelf({})
    assert judge_images(shelf, scorer, []) == []
    assert shelf.fetched == []


def test_the_clock_is_told_of_each_stage_and_counts_no_waiting_for_the_one_network(scorer, content):
    clock = StageClock()
    judge_images(Shelf({f"u{n}": content for n in range(4)}), scorer, claimed(4), clock=clock)
    assert set(clock.seconds) == {"fetch", "decode", "forward"}
    crowded = [StageClock() for _ in range(4)]
    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda each: scorer.judge(dict.fromkeys(range(16), content), clock=each), crowded))
    # Four at once wait for one another; each counts its own turn alone.
    assert sum(each.seconds["forward"] for each in crowded) <= time.perf_counter() - began
