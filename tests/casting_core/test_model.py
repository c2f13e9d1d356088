"""Networks by name, and the weights they start from."""

import pytest
import torch

from casting_core.artifact import Artifact
from casting_core.errors import ArtifactCorrupt, InvalidInput, UnknownArchitecture
from casting_core.model import build_network, load_network, pretrained_network, recognise_architecture


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "efficientnet_b0", "squeezenet1_1", "googlenet"])
def test_any_classifier_of_torchvision_gets_two_outputs(architecture):
    network = build_network(architecture).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 96, 96)).shape == (1, 2)


@pytest.mark.parametrize("name", ["resnet", "fcn_resnet50", ""])
def test_what_is_no_classifier_is_refused_with_names_that_are(name):
    with pytest.raises(UnknownArchitecture, match=r"Close ones: .*net"):
        build_network(name)


def test_weights_of_a_file_fill_the_body_and_leave_the_head(tmp_path):
    source = build_network("resnet18").state_dict() | {
        "fc.weight": torch.zeros(1000, 512),
        "fc.bias": torch.zeros(1000),
    }
    torch.save(source, tmp_path / "weights.pth")
    network = pretrained_network("resnet18", tmp_path / "weights.pth").state_dict()
    assert torch.equal(network["layer4.1.conv2.weight"], source["layer4.1.conv2.weight"])
    assert network["fc.weight"].shape == (2, 512)
    assert recognise_architecture(tmp_path / "weights.pth") == "resnet18"


def test_weights_of_another_architecture_are_refused_by_name(tmp_path):
    torch.save(build_network("squeezenet1_1").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(InvalidInput, match=r"does not fit a resnet18.*conv1.weight"):
        pretrained_network("resnet18", tmp_path / "weights.pth")
    with pytest.raises(InvalidInput, match="none of"):
        recognise_architecture(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("content", "says"), [(None, "no file"), (b"not weights", "plain weights")], ids=["missing", "not weights"]
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        pretrained_network("resnet18", tmp_path / "weights.pth")


def test_an_artifact_with_the_weights_of_another_network_is_refused(make_card):
    weights = build_network("squeezenet1_1").state_dict()
    card = make_card(architecture="resnet18")
    artifact = Artifact(url="file:///m", card=card, weights=weights, engine_files={}, sha256="0" * 64)
    with pytest.raises(ArtifactCorrupt, match="two-class resnet18"):
        load_network(artifact)


def test_the_shared_imagenet_weights_are_recognised(shared_folder):
    source = shared_folder / "weights" / "mobilenet_v2_imagenet.pth"
    assert recognise_architecture(source) == "mobilenet_v2"
    assert pretrained_network("mobilenet_v2", source).state_dict()["classifier.1.weight"].shape == (2, 1280)
