"""The hourly job on a bucket behind a real S3 API, through a proxy that fails on demand."""

import pytest

from casting_core.errors import BucketMissing, StorageDenied
from flows.errors import ScoringIncomplete
from tests.flows.conftest import picture
from tests.flows.test_score import assert_counts_add_up, run

HOUR = "cam1/2026/11/23/07"
IMAGES = 12


@pytest.fixture
def s3_plant(scoring_plant, s3_bucket, s3_faults, monkeypatch):
    """A plant whose bucket has images, reached through the proxy."""
    for number in range(IMAGES):
        s3_bucket.put(f"{HOUR}/P{number:03d}.jpg", picture(number))
    for name, value in {
        "CASTING_IMAGES_URL": s3_bucket.url,
        "CASTING_S3_ENDPOINT_URL": s3_faults.url,
        "CASTING_S3_REGION": "us-east-1",
        "CASTING_S3_ACCESS_KEY_ID": "testing",
        "CASTING_S3_SECRET_ACCESS_KEY": "testing",
        # botocore's own patience, so that a storage that is down fails a chunk in a second.
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return scoring_plant


@pytest.mark.parametrize("client", ["s3fs", "obstore"])
def test_images_in_s3_become_verdicts_with_one_get_each_and_no_head(s3_plant, s3_faults, monkeypatch, client):
    monkeypatch.setenv("CASTING_S3_CLIENT", client)
    summary = run()
    assert (summary.discovered, summary.scored, summary.backlog) == (IMAGES, IMAGES, 0)
    gets = [path for method, path in s3_faults.requests if method == "GET" and ".jpg" in path]
    assert len(gets) == IMAGES
    assert not [path for method, path in s3_faults.requests if method == "HEAD" and ".jpg" in path]
    assert run().discovered == 0


def test_storage_that_answers_503_for_a_while_loses_nothing_and_quarantines_nothing(s3_plant, s3_faults):
    s3_faults.fail("unavailable", times=7, only=".jpg")
    summary = run()
    assert (summary.scored, summary.quarantined, summary.backlog) == (IMAGES, 0, 0)
    assert s3_faults.fault("GET", "x.jpg") is None, "the storage was to be well again in the middle of the run"
    assert_counts_add_up(s3_plant)


def test_storage_that_cannot_be_listed_for_a_while_is_asked_again(s3_plant, s3_faults):
    s3_faults.fail("unavailable", times=2, only="list-type")
    assert run().scored == IMAGES


def test_storage_that_stays_away_leaves_backlog_for_the_next_run(s3_plant, s3_faults):
    s3_faults.fail("unavailable", only=".jpg")
    with pytest.raises(ScoringIncomplete, match=f"{IMAGES} images stayed backlog"):
        run()
    assert assert_counts_add_up(s3_plant) == (IMAGES, 0, 0, IMAGES)
    s3_faults.recover()
    assert run().scored == IMAGES


def test_a_bucket_that_does_not_exist_fails_the_run(s3_plant, monkeypatch):
    monkeypatch.setenv("CASTING_IMAGES_URL", "s3://no-such-bucket-anywhere")
    with pytest.raises(BucketMissing, match="no-such-bucket-anywhere"):
        run()


def test_wrong_credentials_fail_the_run_before_anything_is_known(s3_plant, s3_faults):
    s3_faults.fail("forbidden")
    with pytest.raises(StorageDenied, match="credentials"):
        run()
    assert s3_plant.sql("SELECT count(*) FROM image") == [(0,)]
    assert s3_plant.sql("SELECT state FROM scoring_run") == [("failed",)]


def test_an_object_overwritten_between_listing_and_fetching_is_missing_and_then_judged_anew(
    s3_plant, s3_bucket, s3_faults
):
    replaced = []

    def overwrite(method, path):
        if method == "GET" and "P003.jpg" in path and not replaced:
            replaced.append(path)
            s3_bucket.put(f"{HOUR}/P003.jpg", picture(99, defective=True))

    s3_faults.fault = overwrite
    first = run()
    assert (first.scored, first.quarantined) == (IMAGES - 1, 1)
    assert s3_plant.sql("SELECT reason FROM quarantine") == [("missing",)]
    second = run()
    assert (second.discovered, second.scored) == (1, 1)
    assert s3_plant.sql("SELECT count(*) FROM part_verdict WHERE part_id = 'P003'") == [(1,)]
