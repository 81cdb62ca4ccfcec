"""Games of membership: who is in whose training, models that are as if made by themselves, and what finds them."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy.attacks.views import scaled_confidence
from suppress_privacy.evaluation.game import over_victims
from suppress_privacy.lenet import predict
from suppress_study import coins, models
from suppress_study.jobs import Model
from suppress_study.models import Press, make
from suppress_study.plan import Study
from suppress_study.reading import read_yaml
from suppress_study.settings import FOLDER, Game

SHORT = {"epochs": 2, "batch_size": 8}
ARMS = {
    "suppressed-example": SHORT | {"defence": {"start_epoch": 1, "end_epoch": 2, "mask_times": 8}},
    "dense-sgd": SHORT,
    "accuracy-matched": SHORT,
    "magnitude-finetuned": SHORT | {"epochs": 1},
    "memoriser": {"epochs": 80, "batch_size": 5},
}


@pytest.fixture(scope="module")
def study():
    content = read_yaml(FOLDER / "study.yaml")
    content["profiles"]["smoke"]["overrides"] = ARMS
    return Study.model_validate(content)


def game(**changes):
    return Game(**{"title": "a game", "attacks": ["loss"], "canaries": 40} | changes)


@pytest.fixture(scope="module")
def board(few):
    return coins.board(few, game(images=400), np.arange(0, 1000, 4))


# Draws


def test_exactly_half_are_in_and_every_canary_by_a_fair_coin_of_its_own(few):
    board = coins.board(few, game(images=400, canaries=200), np.zeros(0, int))
    member = np.stack([board.member(seed) for seed in range(400)])
    assert (member.sum(1) == 200).all()
    of_canaries = member[:, board.canaries]
    # Fair for each image; how many canaries are in is binomial: without coins of their own it would vary half as much.
    assert (abs(member.mean(0) - 0.5) < 4 * 0.5 / np.sqrt(400)).all()
    assert of_canaries.sum(1).var() == pytest.approx(200 / 4, rel=0.25)
    together = np.corrcoef(of_canaries.T)[np.triu_indices(200, 1)]
    assert abs(together).max() < 5 / np.sqrt(400) and abs(together.mean()) < 0.002
    assert abs(np.corrcoef(of_canaries)[np.triu_indices(400, 1)]).max() < 5.5 / np.sqrt(200)


def test_the_draws_are_drawn_again_from_the_seed_alone(few, board):
    again = coins.board(few, game(images=400), np.arange(0, 1000, 4))
    assert np.array_equal(again.labels, board.labels) and np.array_equal(again.member(3), board.member(3))
    assert not np.array_equal(board.member(3), board.member(4))


def test_canaries_alone_have_a_wrong_label_and_no_target_is_one(few, board):
    assert np.array_equal(board.true_labels, few.train_labels[board.index])
    assert np.array_equal(board.images, few.train_images[board.index])
    assert np.array_equal(np.flatnonzero(board.labels != board.true_labels), board.canaries)
    assert len(board.canaries) == 40 and not np.isin(board.index[board.canaries], np.arange(0, 1000, 4)).any()
    assert len(np.unique(board.labels[board.canaries])) == 10


def test_random_labels_know_nothing_of_the_image(few):
    drawn = coins.board(few, game(labels="random", canaries=0), np.zeros(0, int))
    assert len(drawn.index) == len(few.train_labels) and not drawn.is_canary.any()
    assert np.mean(drawn.labels == drawn.true_labels) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("images", "canaries"), [(2000, 10), (400, 201), (0, 1300)])
def test_more_than_there_are_is_refused(few, images, canaries):
    with pytest.raises(ValueError, match=r"the game asks for .* ask for fewer"):
        coins.board(few, game(images=images, canaries=canaries), np.arange(100))


# Models


@pytest.fixture(scope="module")
def mint(few, board, study, tmp_path_factory):
    return coins.Mint(study, "smoke", few, board, tmp_path_factory.mktemp("coins"))


def by_hand(mint, study, model, earlier, folder):
    """A model as any other is made, on the data of its draw."""
    half = mint.board.half(model.seed, mint.data)
    return make(study.arm_of("smoke", model), model.seed, half, folder, earlier=earlier)


def test_a_model_is_what_it_would_be_if_it_were_made_alone(mint, study, board, tmp_path):
    """The second of each arm, which is made in the first one's cells; pruned and cut ones from what they build on."""
    made = {}
    for arm in ("suppressed-example", "dense-sgd", "accuracy-matched", "magnitude-finetuned"):
        found = [mint.coin(Model(arm, seed)) for seed in (0, 1)][1]
        built_on = {name: made[name] for name in study.arm("smoke", arm).earlier()}
        made[arm] = alone = by_hand(mint, study, Model(arm, 1), built_on, tmp_path / arm)
        logits = predict(alone.network, board.images)
        assert np.array_equal(found.phi, scaled_confidence(logits, board.labels).astype(np.float32)), arm
        assert found.sha256 == alone.sha256 and found.history == alone.history
        out = ~board.member(1)
        assert found.test_accuracy == np.mean(logits.argmax(1)[out] == board.true_labels[out])
    kept = {arm: mint.coin(Model(arm, 1)).checkpoints for arm in made}
    assert len(kept["dense-sgd"]) == 2 and len(kept["suppressed-example"]) == 1  # one an epoch where others are cut


def test_a_half_holds_members_under_their_game_label_and_is_tested_on_others(few, board):
    half, member = board.half(5, few), board.member(5)
    assert np.array_equal(half.train_images, board.images[member])
    assert np.array_equal(half.train_labels, board.labels[member])
    assert np.array_equal(half.test_labels, board.true_labels[~member])


def test_a_model_that_is_there_is_not_made_again_and_one_that_is_not_comes_out_the_same(mint, monkeypatch):
    model = Model("dense-sgd", 0)
    before, asked = mint.coin(model), []
    monkeypatch.setattr(coins, "make", lambda *given, **more: asked.append(given) or make(*given, **more))
    assert np.array_equal(mint.coin(model).phi, before.phi) and not asked
    (mint.folder / f"{mint._key(model)}.npz").unlink()
    again = coins.Mint(mint.study, "smoke", mint.data, mint.board, mint.folder).coin(model)
    assert len(asked) == 1 and np.array_equal(again.phi, before.phi) and again.sha256 == before.sha256
    assert not list(mint.folder.glob(".part*"))


def test_a_model_is_kept_by_all_that_decides_it(mint, board, few):
    model, keys = Model("dense-sgd", 0), set()
    other = coins.board(few, game(images=400, canaries=39), np.arange(0, 1000, 4))
    for changed in (mint, coins.Mint(mint.study, "smoke", few, other, mint.folder)):
        keys |= {changed._key(each) for each in (model, Model("dense-sgd", 1), Model("suppressed-example", 0))}
    keys.add(coins.Mint(mint.study, "smoke", replace(few, sha256={"a": "c"}), board, mint.folder)._key(model))
    assert len(keys) == 7


# What finds members


def planted(board, models=12, signal=3.0):
    """Log-odds that differ by image, and are higher where it was in training."""
    rng, seeds = np.random.default_rng(0), list(range(models))
    member = np.stack([board.member(seed) for seed in seeds])
    phi = rng.normal(0, 2, len(board.labels)) + signal * member + rng.normal(size=member.shape)
    return coins.Table(board, seeds, phi)


def variants(study, name="canaries", arm="dense-sgd"):
    return {each.attack: each for each in study.playing("smoke", name, Model(arm, 0)).variants}


def test_what_a_table_holds_is_found_among_canaries_and_others(study, board):
    table, chosen = planted(board), variants(study)
    for attack, least in (("loss", 0.75), ("lira", 0.95), ("rmia", 0.9)):
        found, arrays = table.attacked(chosen[attack], 2)
        assert found["canaries"]["auc"] > least - 0.1 and found["others"]["auc"] > least, attack
        assert np.array_equal(arrays["member"], board.member(2)[board.canaries])
        assert np.array_equal(arrays["index"], board.index[board.canaries])
        assert np.array_equal(arrays["label"], board.labels[board.canaries])
        if attack == "loss":  # published so, in place of weights
            assert arrays["score"] == pytest.approx(table.phi[2, board.canaries], abs=1e-3)
    areas = [table.attacked(chosen["lira-shuffled"], seed)[0]["others"]["auc"] for seed in table.seeds]
    assert over_victims(areas).low < 0.5 < over_victims(areas).high


def test_a_victim_is_not_among_its_own_shadows(study, board):
    """Where only the victim's own row tells anything, nothing is to be found."""
    table, chosen = planted(board, signal=0), variants(study)
    table.phi[0] = 0
    for attack in ("lira", "rmia"):
        assert abs(table.attacked(chosen[attack], 0)[0]["others"]["auc"] - 0.5) < 0.1, attack


def test_the_scores_of_all_are_kept_where_there_are_no_canaries(study, few):
    board = coins.board(few, game(images=100, canaries=0), np.zeros(0, int))
    found, arrays = planted(board).attacked(variants(study)["lira"], 0)
    assert found.keys() == {"others"} and len(arrays["score"]) == 100


def test_the_blind_classifier_is_told_of_half_the_images_and_finds_what_is_in_the_pixels(study, few):
    board = coins.board(few, game(), np.zeros(0, int))
    chosen = variants(study, arm="none")["blind"]
    nothing = coins.Table(board, list(range(24)), np.zeros(0))
    areas = [nothing.attacked(chosen, seed)[0]["others"]["auc"] for seed in range(24)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02) and np.std(areas) < 0.05
    marked = board.images.copy()
    marked[board.member(0), :, 0, 0] = 1
    assert coins.Table(replace(board, images=marked), [0], np.zeros(0)).attacked(chosen, 0)[0]["others"]["auc"] > 0.99


def test_a_network_that_knows_random_labels_by_heart_is_found(study, few, tmp_path):
    board = coins.board(few, game(images=100, labels="random", canaries=0), np.zeros(0, int))
    mint = coins.Mint(study, "smoke", few, board, tmp_path)
    made = [mint.coin(Model("memoriser", seed)) for seed in range(5)]
    table = coins.Table(board, list(range(5)), np.array([coin.phi for coin in made], np.float64))
    assert all((phi[member] > 0).all() for phi, member in zip(table.phi, table.member, strict=True))  # by heart
    for attack in ("loss", "lira", "rmia"):
        areas = [table.attacked(variants(study, "random", "memoriser")[attack], seed)[0]["others"] for seed in range(5)]
        assert over_victims([each["auc"] for each in areas]).low > 0.9, attack
    assert max(coin.test_accuracy for coin in made) < 0.3  # there was nothing else to learn


def test_models_of_a_private_training_are_made_in_one_press_as_alone(study, few, monkeypatch):
    """The second, which is made in the first one's cells: its step has more parameters once it has been taken."""

    def small(arm, seed=None):  # which is compiled in a fraction of LeNet5's time
        network = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10, bias_init="zeros"))
        drawn = np.random.default_rng(seed).normal(0, 0.03, (10, 1024)).astype(np.float32)
        network[1].weight.set_data(ms.Tensor(drawn))
        return network

    monkeypatch.setattr(models, "untrained", small)
    short = {"epochs": 1, "batch_size": 20}
    private = study.arm("full", "dpsgd-eps7", short)
    press, alone = Press(), make(private, 1, few).network
    first, second = (
        [parameter.asnumpy().copy() for parameter in make(private, seed, few, press=press).network.trainable_params()]
        for seed in (0, 1)
    )
    assert all(np.array_equal(a, b.asnumpy()) for a, b in zip(second, alone.trainable_params(), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
