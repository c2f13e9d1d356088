"""Storage lists what is there, reads what was listed, and tells trouble with an object from trouble with itself."""

import asyncio
import importlib.util
import json
import os
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from casting_core.errors import BucketMissing, InvalidInput, StorageDenied, StorageError, StorageUnavailable
from casting_core.storage import Folder, LocalStore, ObjectStore, S3Store, open_store
from casting_core.types import Rejection
from tests.s3 import CREDENTIALS, S3Bucket

DENIED = Rejection(reason="access_denied", detail="the storage credentials may not read this object")
LISTINGS = {
    "the root": lambda store: store.check_root(),
    "a folder": lambda store: store.list_folder("line"),
    "many folders": lambda store: list(store.list_folders(["line", "other"])),
    "everything": lambda store: store.walk(),
}


@dataclass(frozen=True)
class LocalPlace:
    """A folder that is filled like a bucket."""

    folder: Path

    def put(self, key, content):
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def delete(self, key):
        (self.folder / key).unlink()

    def open(self, folder=""):
        return open_store(f"file://{self.folder / folder}")


@dataclass(frozen=True)
class S3Place:
    """A bucket behind HTTP."""

    bucket: S3Bucket
    client: str

    def put(self, key, content):
        self.bucket.put(key, content)

    def delete(self, key):
        self.bucket.delete(key)

    def open(self, folder=""):
        return open_store(f"{self.bucket.url}/{folder}", options=self.bucket.options, s3_client=self.client)


@pytest.fixture(params=["local", "s3fs", "obstore"])
def place(request, tmp_path):
    """The same tests for a folder and for a bucket, whatever reads it."""
    if request.param == "local":
        return LocalPlace(tmp_path)
    return S3Place(request.getfixturevalue("s3_bucket"), request.param)


@pytest.fixture(params=["s3fs", "obstore"])
def open_s3(request):
    """Open a store as the setting says: what reads it must make no difference."""
    return partial(open_store, s3_client=request.param)


@pytest.fixture
def proxied(s3_bucket, s3_faults, open_s3):
    """A store behind the failing proxy, in a bucket that holds line/0.jpg to line/3.jpg."""
    for number in range(4):
        s3_bucket.put(f"line/{number}.jpg", b"picture %d " % number * 100)
    return open_s3(s3_bucket.url, options=s3_faults.options())


def versions(store, folder="line"):
    return [(store.uri(info.key), info.etag) for info in store.list_folder(folder).files]


# What is listed


def test_a_folder_shows_its_own_files_and_folders_alone(place):
    for key, content in {"a/1.jpg": b"one", "a/2.jpg": b"four", "a/b/3.jpg": b"3", "4.jpg": b"4"}.items():
        place.put(key, content)
    store = place.open()
    folder = store.list_folder("a")
    assert {info.key: info.size for info in folder.files} == {"a/1.jpg": 3, "a/2.jpg": 4}
    assert folder.folders == ("a/b",)
    assert [info.key for info in store.list_folder("").files] == ["4.jpg"]
    assert len({info.etag for info in folder.files}) == 2
    for info in folder.files:
        assert abs(info.stored_at - datetime.now(tz=UTC)) < timedelta(minutes=10)


def test_the_root_may_be_a_folder_of_the_bucket(place):
    place.put("plant/line/1.jpg", b"1")
    place.put("elsewhere/2.jpg", b"2")
    store = place.open("plant")
    assert [info.key for info in store.walk()] == ["line/1.jpg"]
    ((uri, etag),) = versions(store)
    assert uri == f"{store.url}/line/1.jpg"
    assert store.fetch([(uri, etag)]) == {(uri, etag): b"1"}


def test_a_folder_that_does_not_exist_is_empty(place):
    place.put("a.jpg", b"1")
    store = place.open()
    assert store.list_folder("nothing/here") == Folder(files=(), folders=())
    assert store.list_folder("a.jpg/below").files == ()


def test_many_folders_come_in_the_order_asked_for(place):
    for number in range(40):
        place.put(f"{number}/{number}.jpg", b"x")
    order = [str(number) for number in (*range(39, -1, -1), 99)]
    listed = [[info.key for info in folder.files] for folder in place.open().list_folders(order)]
    assert listed == [*([f"{name}/{name}.jpg"] for name in order[:-1]), []]


def test_walk_finds_every_depth(place):
    keys = ["1.jpg", "a/2.jpg", "a/b/c/3.jpg"]
    for key in keys:
        place.put(key, b"x")
    assert sorted(info.key for info in place.open().walk()) == keys


def test_each_listing_is_a_fresh_one_and_none_is_kept(place):
    place.put("line/1.jpg", b"1")
    store = place.open()
    assert len(store.list_folder("line").files) == len(store.walk()) == 1
    place.put("line/2.jpg", b"2")
    assert len(store.list_folder("line").files) == len(store.walk()) == 2
    assert list(store._fs.dircache) == []


def test_more_keys_than_a_page_of_s3_holds_are_listed_and_read(s3_bucket, open_s3):
    keys = [f"line/{number:04d}.jpg" for number in range(1_050)]
    # Past HTTP, which would take longer than all else here.
    server = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for key in keys:
        server.put_object(s3_bucket.name, key, key.encode())
    store = open_s3(s3_bucket.url, options=s3_bucket.options)
    listed = store.list_folder("line").files
    assert [info.key for info in listed] == keys
    assert sorted(info.key for info in store.walk()) == keys
    wanted = [(store.uri(info.key), info.etag) for info in listed[::-7]]
    fetched = store.fetch(wanted)
    assert list(fetched.values()) == [key.encode() for key in keys[::-7]]


def test_markers_of_empty_s3_folders_are_no_objects(s3_bucket):
    for key in ("line/", "line/2026/", "line/2026/1.jpg"):
        s3_bucket.put(key, b"")
    store = open_store(s3_bucket.url, options=s3_bucket.options)
    assert store.list_folder("line") == Folder(files=(), folders=("line/2026",))
    assert [info.key for info in store.list_folder("line/2026").files] == ["line/2026/1.jpg"]
    assert [info.key for info in store.walk()] == ["line/2026/1.jpg"]


def test_links_lead_to_pictures_and_folders(tmp_path):
    place = LocalPlace(tmp_path / "bucket")
    place.put("line-1/1.jpg", b"one")
    camera = LocalPlace(tmp_path / "camera")
    camera.put("2.jpg", b"two")
    (place.folder / "line-2").symlink_to(camera.folder)
    (place.folder / "line-1" / "2.jpg").symlink_to(camera.folder / "2.jpg")
    (place.folder / "line-1" / "gone.jpg").symlink_to(camera.folder / "gone.jpg")
    store = place.open()
    assert sorted(store.list_folder("").folders) == ["line-1", "line-2"]
    wanted = versions(store, "line-1") + versions(store, "line-2")
    assert sorted(store.fetch(wanted).values()) == [b"one", b"two", b"two"]
    assert sorted(info.key for info in store.walk()) == ["line-1/1.jpg", "line-1/2.jpg"]


def test_a_pipe_among_the_pictures_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "1.jpg").write_bytes(b"1")
    store = open_store(str(tmp_path))
    assert [info.key for info in store.list_folder("").files] == ["1.jpg"]
    assert [info.key for info in store.walk()] == ["1.jpg"]


# What is fetched


@pytest.mark.parametrize("name", ["part 1", "50%20", "a+b", "q?a=3", "no#7", "Gußteil-é", "~home", "[1]{2}*"])
def test_any_name_is_listed_and_read(place, name):
    key = f"{name}/{name}.jpg"
    place.put(key, b"picture")
    store = place.open()
    store.check_root()
    ((uri, etag),) = versions(store, name)
    assert uri == f"{store.url}/{key}"
    assert store.fetch([(uri, etag)]) == {(uri, etag): b"picture"}


def test_objects_that_are_gone_or_overwritten_are_told_apart_from_the_others(place):
    for name in ("kept", "deleted", "overwritten"):
        place.put(f"line/{name}.jpg", b"as it was")
    store = place.open()
    before = dict(versions(store))
    place.delete("line/deleted.jpg")
    place.put("line/overwritten.jpg", b"another picture")
    fetched = {uri: outcome for (uri, _), outcome in store.fetch(list(before.items())).items()}
    assert fetched[store.uri("line/kept.jpg")] == b"as it was"
    deleted, overwritten = (fetched[store.uri(f"line/{name}.jpg")] for name in ("deleted", "overwritten"))
    assert deleted == Rejection(reason="missing", detail="deleted after it was listed")
    assert overwritten.reason == "missing"
    assert "overwritten" in overwritten.detail
    # Under its new etag the new picture is there.
    uri = store.uri("line/overwritten.jpg")
    new = dict(versions(store))[uri]
    assert new != before[uri]
    assert store.fetch([(uri, new)]) == {(uri, new): b"another picture"}


def test_each_of_many_files_gets_its_own_bytes(tmp_path):
    place = LocalPlace(tmp_path)
    for number in range(70):
        place.put(f"line/{number:02d}.jpg", b"%d" % number)
    store = place.open()
    wanted = versions(store)
    place.delete("line/33.jpg")
    fetched = {uri: outcome for (uri, _), outcome in store.fetch(wanted).items()}
    assert len(fetched) == 70
    assert fetched.pop(store.uri("line/33.jpg")).reason == "missing"
    assert all(content == b"%d" % int(uri[-6:-4]) for uri, content in fetched.items())


def test_an_unchanged_object_keeps_its_etag(place):
    place.put("line/1.jpg", b"1")
    assert versions(place.open()) == versions(place.open())


def test_nothing_wanted_is_nothing_fetched(place):
    assert place.open().fetch([]) == {}


def test_a_folder_in_the_place_of_a_picture_or_of_its_folder_makes_it_missing(tmp_path):
    place = LocalPlace(tmp_path)
    for key in ("line/1.jpg", "line/2/2.jpg"):
        place.put(key, b"1")
    store = place.open()
    wanted = versions(store) + versions(store, "line/2")
    place.delete("line/1.jpg")
    (tmp_path / "line/1.jpg").mkdir()
    place.delete("line/2/2.jpg")
    (tmp_path / "line/2").rmdir()
    place.put("line/2", b"a file now")
    assert [outcome.reason for outcome in store.fetch(wanted).values()] == ["missing", "missing"]


# What is not there, or not allowed


def test_a_bucket_that_does_not_exist_is_missing(s3_bucket, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    for url, options in (
        ("s3://no-such-bucket-here", s3_bucket.options),
        ("s3://no-such-bucket-here/plant", s3_bucket.options),
        (f"file://{tmp_path}/nothing", None),
        (f"file://{file}", None),
        ("memory://nothing/here", None),
    ):
        store = open_store(url, options=options)
        for ask in (store.check_root, store.walk):
            with pytest.raises(BucketMissing, match=r"does not exist.*CASTING_IMAGES_URL"):
                ask()


def test_an_empty_bucket_is_not_missing(place):
    place.open().check_root()
    assert place.open().walk() == []


def test_an_empty_folder_of_a_bucket_is_not_missing(s3_bucket):
    store = open_store(f"{s3_bucket.url}/plant", options=s3_bucket.options)
    store.check_root()
    assert store.walk() == []


@pytest.fixture
def users(s3_endpoint, s3_bucket):
    """Keys of a user who may do anything, and of one who may do nothing, at a server that now checks them."""
    place = {"endpoint_url": s3_endpoint, "region_name": "us-east-1"}
    iam = boto3.client("iam", aws_access_key_id="testing", aws_secret_access_key="testing", **place)  # noqa: S106
    keys = {}
    for name, effect in (("reader", "Allow"), ("stranger", "Deny")):
        user = f"{name}-{s3_bucket.name}"
        iam.create_user(UserName=user)
        statement = {"Effect": effect, "Action": "s3:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        keys[name] = s3_bucket.options | {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    iam.close()
    for number in range(2):
        s3_bucket.put(f"line/{number}.jpg", b"picture")

    def check_keys(after):
        url, headers = f"{s3_endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        with urllib.request.urlopen(urllib.request.Request(url, data=after, headers=headers)) as answer:  # noqa: S310
            assert answer.status == 200

    check_keys(b"0")
    yield keys
    check_keys(b"inf")


def test_wrong_credentials_are_refused_and_no_picture_is_blamed(users, s3_bucket, open_s3):
    good = open_s3(s3_bucket.url, options=users["reader"])
    wanted = versions(good)
    assert list(good.fetch(wanted).values()) == [b"picture", b"picture"]
    for wrong in ({"key": "AKIAUNKNOWN"}, {"secret": "not the secret"}):
        store = open_s3(s3_bucket.url, options=users["reader"] | wrong)
        for ask in (*LISTINGS.values(), lambda store: store.fetch(wanted[:1])):
            with pytest.raises(StorageDenied, match=r"Check the credentials") as caught:
                ask(store)
            assert "not the secret" not in str(caught.value)


def test_credentials_without_the_right_may_not_list_and_get_no_picture(users, s3_bucket, open_s3):
    wanted = versions(open_s3(s3_bucket.url, options=users["reader"]))
    store = open_s3(s3_bucket.url, options=users["stranger"])
    for ask in LISTINGS.values():
        with pytest.raises(StorageDenied):
            ask(store)
    # Whether this says something about the pictures or about the credentials is for judging to tell.
    assert list(store.fetch(wanted).values()) == [DENIED, DENIED]


def test_one_forbidden_object_does_not_keep_the_others(s3_bucket, open_s3):
    for name in ("secret", "plain"):
        s3_bucket.put(f"line/{name}.jpg", b"picture")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{s3_bucket.name}/line/secret.jpg",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3_bucket.client.put_bucket_policy(Bucket=s3_bucket.name, Policy=policy)
    store = open_s3(s3_bucket.url, options=s3_bucket.options)
    fetched = {Path(uri).stem: outcome for (uri, _), outcome in store.fetch(versions(store)).items()}
    assert fetched == {"secret": DENIED, "plain": b"picture"}


def test_a_folder_that_may_not_be_read_is_denied(tmp_path, monkeypatch):
    # The tests may run as root, whom no file mode keeps out.
    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    place = LocalPlace(tmp_path)
    place.put("line/1.jpg", b"1")
    store = place.open()
    wanted = versions(store)
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    assert list(store.fetch(wanted).values()) == [DENIED]
    for ask in (store.check_root, lambda: store.list_folder("line")):
        with pytest.raises(StorageDenied):
            ask()


def test_no_credentials_at_all_are_denied(s3_bucket, monkeypatch, tmp_path, open_s3):
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    options = {name: value for name, value in s3_bucket.options.items() if name not in ("key", "secret")}
    store = open_s3(s3_bucket.url, options=options)
    for ask in (*LISTINGS.values(), lambda store: store.fetch([(store.uri("line/1.jpg"), "etag")])):
        with pytest.raises(StorageDenied):
            ask(store)


# Storage in trouble


@pytest.mark.parametrize("kind", ["unavailable", "reset", "hang"])
def test_storage_in_trouble_for_ever_is_unavailable(s3_bucket, s3_faults, kind, open_s3):
    s3_bucket.put("line/0.jpg", b"0")
    options = s3_faults.options(read_timeout=0.2)
    wanted = versions(open_s3(s3_bucket.url, options=options))
    # A root with a folder, which is empty: nothing here may be taken for a missing bucket.
    stores = [open_s3(f"{s3_bucket.url}{folder}", options=options) for folder in ("", "/empty")]
    s3_faults.fail(kind)
    asks = [*LISTINGS.values(), lambda store: store.fetch(wanted)]

    def error_of(number):
        with pytest.raises(StorageError) as caught:
            asks[number % len(asks)](stores[number // len(asks)])
        return caught.type

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(error_of, range(len(asks) * len(stores)))) == {StorageUnavailable}
    s3_faults.recover()
    assert list(stores[0].fetch(wanted).values()) == [b"0"]


def test_a_listing_that_nobody_reads_to_its_end_may_be_closed_on_the_thread_of_the_requests(s3_bucket, s3_faults):
    store = open_store(s3_bucket.url, options=s3_faults.options())
    listing = store.list_folders(["quick", *(f"slow{number}" for number in range(4))])
    s3_faults.fault = lambda _method, path: "slow" if "prefix=slow" in path else None
    next(listing)

    async def close():
        listing.close()

    # As the garbage collector does it, wherever it happens to run.
    asyncio.run_coroutine_threadsafe(close(), store._fs.loop).result(timeout=20)
    assert store.list_folder("quick").files == ()


def test_storage_that_fails_after_the_first_answer_is_not_a_missing_bucket(s3_bucket, s3_faults):
    store = open_store(f"{s3_bucket.url}/empty", options=s3_faults.options())
    # The listing of the folder answers that there is nothing; whatever is asked next fails.
    s3_faults.fault = lambda _method, path: None if "prefix=empty" in path else "unavailable"
    store.check_root()


@pytest.mark.parametrize("kind", ["unavailable", "slow_down", "reset"])
def test_storage_that_fails_for_a_while_is_asked_again(proxied, s3_bucket, s3_faults, kind, open_s3):
    patient = open_s3(s3_bucket.url, options=s3_faults.options(retries={"max_attempts": 2}))
    wanted = versions(proxied)
    s3_faults.fail(kind, times=1)
    assert len(patient.list_folder("line").files) == 4
    s3_faults.fail(kind, times=2)
    fetched = patient.fetch(wanted)
    assert fetched == {(patient.uri(f"line/{n}.jpg"), wanted[n][1]): b"picture %d " % n * 100 for n in range(4)}


def test_a_body_that_breaks_off_is_no_picture_but_trouble_with_the_storage(proxied, s3_faults):
    wanted = versions(proxied)
    s3_faults.fail("truncate", times=1, only="2.jpg")
    with pytest.raises(StorageUnavailable):
        proxied.fetch(wanted)
    assert {len(content) for content in proxied.fetch(wanted).values()} == {1_000}


def test_a_storage_in_trouble_is_not_asked_for_the_rest(s3_bucket, s3_faults, open_s3):
    store = open_s3(s3_bucket.url, options=s3_faults.options())
    s3_faults.fail("unavailable", only=".jpg")
    with pytest.raises(StorageUnavailable):
        store.fetch([(store.uri(f"line/{number}.jpg"), "etag") for number in range(500)])
    s3_bucket.put("line/later", b"")
    s3_faults.recover()
    for _ in range(20):
        store.list_folder("line")
    assert sum(".jpg" in path for _, path in s3_faults.requests) < 250


def test_nobody_listening_is_unavailable(s3_bucket):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound but not listening: connections are refused, and nobody else gets the port.
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        options = CREDENTIALS | {"endpoint_url": endpoint, "config_kwargs": {"retries": {"max_attempts": 0}}}
        store = open_store(s3_bucket.url, options=options)
        with pytest.raises(StorageUnavailable, match=r"did not answer"):
            store.check_root()


# Opening


@pytest.mark.parametrize(
    ("url", "kind", "atomic"),
    [("file:///tmp", LocalStore, False), ("s3://bucket/plant/", S3Store, True), ("memory://plant", ObjectStore, True)],
)
def test_the_kind_of_store_follows_from_the_url(url, kind, atomic):
    store = open_store(url, options=CREDENTIALS if url.startswith("s3") else None)
    assert type(store) is kind
    assert store.writes_are_atomic is atomic
    assert "testing" not in store.url
    assert not store.uri("a.jpg").endswith("//a.jpg")


@pytest.mark.parametrize("url", ["nonsense://bucket", "adl://bucket"])
def test_a_storage_that_is_unknown_or_not_installed_is_named(url):
    with pytest.raises(InvalidInput, match=r"cannot be used as object storage.*file:// or s3://"):
        open_store(url)


def test_what_reads_a_bucket_but_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InvalidInput, match=r"obstore .*not installed.*CASTING_S3_CLIENT=s3fs"):
        open_store("s3://bucket", options=CREDENTIALS, s3_client="obstore")


def test_any_file_system_of_fsspec_can_be_listed_and_read():
    store = open_store("memory://any-plant")
    store._fs.pipe("/any-plant/line/1.jpg", b"picture")
    store.check_root()
    assert [info.key for info in store.walk()] == ["line/1.jpg"]
    wanted = versions(store)
    assert list(store.fetch(wanted).values()) == [b"picture"]
    store._fs.rm("/any-plant/line/1.jpg")
    assert [outcome.reason for outcome in store.fetch(wanted).values()] == ["missing"]
