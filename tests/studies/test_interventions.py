"""Lesions, other gates and noise: what they change, and that nothing stays behind."""

import pytest
import torch

from lib.models import attention_maps, build_model
from lib.studies import interventions as iv


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def network(variant: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(variant, num_classes=5, base_channels=4).eval()


def hooks(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@torch.no_grad()
@pytest.mark.parametrize(
    "variant", ["unet", "unet-noskip", "unet-residual", "unet-gated-attention"]
)
def test_every_condition_changes_the_logits_and_leaves_the_network_as_it_was(variant, images):
    model = network(variant)
    before = model(images)
    conditions = iv.lesions(model) | iv.perturbations(model)
    assert len(conditions) == {"unet-noskip": 3, "unet-gated-attention": 23}.get(variant, 19)
    for name, condition in conditions.items():
        with condition(model):
            assert hooks(model) > 0 and not torch.equal(model(images), before), name
        assert hooks(model) == 0
    assert torch.equal(model(images), before)


@torch.no_grad()
def test_a_zeroed_skip_is_a_skip_of_zeros_and_a_shuffled_one_that_of_the_next_image(images):
    model, seen = network("unet"), []
    model.decoder[2].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    model(images)
    with iv.lesions(model)["zero 2"](model):
        model(images)
    with iv.lesions(model)["shuffle 2"](model):
        model(images)
    intact, zeroed, shuffled = seen
    half = intact.shape[1] // 2
    assert intact[:, :half].abs().sum() > 0 and zeroed[:, :half].abs().sum() == 0
    assert torch.equal(shuffled[:, :half], intact[:, :half].roll(1, 0))
    assert torch.equal(shuffled[:, half:], intact[:, half:]) and torch.equal(
        zeroed[:, half:], intact[:, half:]
    )


@torch.no_grad()
def test_equal_images_have_nothing_to_exchange(images):
    model = network("unet-gated-attention")
    same = images[:1].repeat(3, 1, 1, 1)
    intact = model(same)
    for name in ("shuffle all", "clutter 0.5", "alpha other"):
        with (iv.lesions(model) | iv.perturbations(model))[name](model):
            torch.testing.assert_close(model(same), intact, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_an_open_gate_is_a_plain_skip_and_a_mean_gate_a_scaled_one(images):
    gated, plain = network("unet-gated-attention"), network("unet")
    plain.load_state_dict(
        {key: value for key, value in gated.state_dict().items() if key in plain.state_dict()}
    )
    with iv.perturbations(gated)["alpha one"](gated):
        torch.testing.assert_close(gated(images), plain(images))
    with iv.perturbations(gated)["alpha mean"](gated):
        maps = attention_maps(gated, images)
    assert all(alpha.std() < 1e-6 for alpha in maps) and len(maps) == 4


def test_noise_has_the_strength_that_is_asked_for_and_repeats():
    x = torch.randn(4, 6, 32, 32) * torch.arange(1, 7).view(6, 1, 1)
    added = iv.add_noise(x, 2.0) - x
    assert torch.equal(iv.add_noise(x, 2.0) - x, added)
    torch.testing.assert_close(
        added.std((0, 2, 3)) / x.std((0, 2, 3)), torch.full((6,), 2.0), rtol=0.1, atol=0
    )
    assert (iv.add_noise(x, 0.1, scale=1.0) - x).std().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(iv.mix_clutter(x, 0.25), 0.75 * x + 0.25 * x.roll(1, 0))


def test_one_image_has_no_other():
    with pytest.raises(ValueError, match="a batch of one image holds no other image"):
        iv.other(torch.zeros(1, 2, 3, 3))


@torch.no_grad()
def test_permuted_coefficients_are_the_same_ones_elsewhere(images):
    model = network("unet-gated-attention")
    before = attention_maps(model, images)
    with iv.perturbations(model)["alpha permuted"](model):
        after = attention_maps(model, images)
    # The coarsest gate decides first, so that its own coefficients are those of the intact network
    # in another order.
    own, moved = before[3].flatten(1), after[3].flatten(1)
    assert torch.equal(own.sort(1).values, moved.sort(1).values) and not torch.equal(own, moved)


def test_a_permutation_moves_whole_pixels_within_their_image():
    x = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    moved = iv.permuted(x, seed=1)
    for image, before in zip(moved, x):
        pixels, own = (set(map(tuple, part.flatten(1).T.tolist())) for part in (image, before))
        assert pixels == own and not torch.equal(image, before)
    orders = moved.flatten(2)[:, 0] - x[:, 0, 0, 0, None]
    assert not torch.equal(orders[0], orders[1])  # every image has an order of its own
    assert torch.equal(iv.permuted(x, seed=1), moved) and not torch.equal(
        iv.permuted(x, seed=2), moved
    )


def test_a_mean_over_the_image_is_that_of_each_image_alone():
    x = torch.tensor([[[[1.0, 3.0]]], [[[5.0, 9.0]]]])
    assert iv.image_mean(x).flatten().tolist() == [2, 2, 7, 7]


@torch.no_grad()
@pytest.mark.parametrize("variant", ["unet-residual", "unet-gated-attention"])
def test_saved_features_give_the_same_logits(variant, images):
    model = network(variant)
    with iv.reading_features(model) as features:
        intact = model(images)
    encoder = model.encoder
    for name, condition in (iv.lesions(model) | iv.perturbations(model)).items():
        with condition(model):
            expected = model(images)
        with iv.saved_features(model, features), condition(model):
            found = model(images if iv.changes_the_image(name) else torch.zeros_like(images))
        if iv.changes_the_image(name):  # saved features do not see it
            torch.testing.assert_close(found, intact)
        else:
            assert torch.equal(found, expected), name
    assert model.encoder is encoder and hooks(model) == 0
