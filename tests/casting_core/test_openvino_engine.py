"""Networks as 8-bit integers: close to where they come from, whole in an artifact, refused where they cannot run."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from casting_core import openvino_engine
from casting_core.artifact import encode_weights, publish_artifact, read_artifact
from casting_core.card import Serving
from casting_core.errors import ArtifactCorrupt, CardIncomplete, EngineMissing
from casting_core.model import build_network
from casting_core.openvino_engine import ConvertedModel, compile_model, quantise
from casting_core.preprocess import Preprocessing, normalise, stack
from casting_core.scoring import load_scorer
from casting_core.synthetic import make_casting, render

PREPROCESSING = Preprocessing(side=64)


def pictures(count=12, channels=1):
    grey = [render(make_casting(seed, defective=seed % 2 == 1), size=64)[None] for seed in range(count)]
    return [np.repeat(picture, channels, axis=0) for picture in grey]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("squeezenet1_1").eval()


@pytest.fixture(scope="module")
def quantised(network):
    return quantise(network, PREPROCESSING, pictures())


@pytest.fixture
def published(quantised, network, make_card, tmp_path):
    weights = encode_weights(network.state_dict())
    files = quantised.files()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card = make_card(weights, serving=Serving(engine="openvino", precision="int8", files=hashes))
    url, _ = publish_artifact(tmp_path.as_uri(), card=card, weights=weights, files=files)
    return url, tmp_path / card.version


def test_integers_judge_nearly_as_the_network_does_in_batches_of_any_size(network, quantised):
    run = compile_model(quantised)
    shown = stack(pictures())
    with torch.inference_mode():
        exact = torch.softmax(network(normalise(shown, PREPROCESSING)), dim=1)[:, 1]
    for size in (12, 5, 1):
        served = torch.cat([torch.softmax(run(batch), dim=1)[:, 1] for batch in torch.split(shown, size)])
        assert 0 < (served - exact).abs().max() < 0.03


def test_an_answer_is_not_overwritten_by_the_next(quantised):
    run = compile_model(quantised)
    first, second = stack(pictures())[:8], 255 - stack(pictures())[:8]
    kept = run(first)
    before = kept.clone()
    run(second)
    assert torch.equal(kept, before)


def test_threads_at_the_same_time_get_their_own_answers(quantised):
    run = compile_model(quantised)
    batches = [stack([picture]) for picture in pictures(16)] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, batches))
    assert run.streams >= 1
    # Nor does it matter when it was compiled.
    for _ in range(5):
        assert torch.equal(compile_model(quantised)(batches[0]), together[0])
    assert torch.equal(torch.cat(together), torch.cat([run(batch) for batch in batches]))


def test_pictures_in_colour_are_served_too(network):
    run = compile_model(quantise(network, PREPROCESSING, pictures(2, channels=3)))
    assert run(stack(pictures(4, channels=3))).shape == (4, 2)


def test_what_is_published_is_what_is_served(published, quantised):
    url, _ = published
    scorer = load_scorer(read_artifact(url), device="auto")
    logits = compile_model(quantised)(stack(pictures())).double() / scorer.card.temperature
    assert scorer.predict(pictures()) == torch.softmax(logits, dim=1)[:, 1].tolist()


def test_a_file_of_the_engine_that_was_exchanged_is_refused(published):
    url, folder = published
    graph = folder / openvino_engine.GRAPH
    graph.write_bytes(graph.read_bytes().replace(b"64", b"32", 1))
    with pytest.raises(ArtifactCorrupt, match=r"openvino\.xml hashes to"):
        read_artifact(url)


def test_files_that_are_not_those_on_the_card_are_not_published(make_card, tmp_path, quantised):
    files = quantised.files()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card = make_card(b"weights", serving=Serving(engine="openvino", precision="int8", files=hashes))
    with pytest.raises(ArtifactCorrupt, match="nothing was written"):
        publish_artifact(tmp_path.as_uri(), card=card, weights=b"weights", files=files | {openvino_engine.GRAPH: b""})
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(ArtifactCorrupt, match="cannot read"):
        compile_model(ConvertedModel(graph=b"<net>", weights=b""))


def test_a_plant_without_the_engine_is_told_what_to_install(published, monkeypatch):
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    with pytest.raises(EngineMissing, match=r"casting-inspection\[cpu\]"):
        load_scorer(read_artifact(published[0]))


@pytest.mark.parametrize(
    "serving",
    [
        {"engine": "openvino", "precision": "float32", "files": {}},
        {"engine": "torch", "precision": "int8", "files": {}},
        {"engine": "openvino", "precision": "int8", "files": {}},
        {"engine": "torch", "precision": "float32", "files": {"openvino.xml": "0" * 64}},
    ],
)
def test_a_card_names_an_engine_with_what_it_needs(make_card, serving):
    card = make_card().model_dump(mode="json") | {"serving": serving}
    with pytest.raises(CardIncomplete, match="no way of serving"):
        type(make_card()).from_bytes(json.dumps(card).encode(), where="card.json")
