"""Membership by coin: a game of many networks, each trained on a half of the images that is drawn by lot.

    P(an image is in the training of model k) = 1/2, a canary's by a coin of its own

Members and others are alike in all but that, and each network is the victim in turn: the others are its shadows. The
draws of `Board.member` are all that tells a model's members; they are the same for all arms.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from suppress_privacy.attacks import ATTACKS
from suppress_privacy.attacks.views import BlindView, CoinView, Shadows, scaled_confidence
from suppress_privacy.evaluation.game import of_victim
from suppress_privacy.files import atomically, read_arrays, sha256_of
from suppress_privacy.lenet import predict
from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import generator
from suppress_privacy.training import History, checkpoints_in, load_checkpoint
from suppress_study.attacking import few_bytes, few_digits
from suppress_study.jobs import Model, Variant
from suppress_study.models import Press, Trained, key_of, make, untrained
from suppress_study.plan import Study
from suppress_study.results import Arrays
from suppress_study.settings import Arm, Game
from suppress_study.targets import SEED

TESTED = 10_000  # non-members that accuracy is taken on after each epoch


@dataclass(frozen=True)
class Board:
    """The images of a game, the same for all its models."""

    images: np.ndarray  # float32 [N, C, H, W]
    true_labels: np.ndarray  # int32 [N]
    labels: np.ndarray  # int32 [N], under which they are trained on
    canaries: np.ndarray  # int64 [C], positions of those with a wrong label
    index: np.ndarray  # int64 [N], positions in the training set

    def member(self, seed: int) -> np.ndarray:
        """Who is in the training of the model of that seed: bool [N], exactly a half.

        Each canary by a fair coin of its own; of the others as many as fill up the half, drawn by lot.
        """
        rng, member = generator(seed, "coins"), np.zeros(len(self.labels), bool)
        member[self.canaries] = rng.random(len(self.canaries)) < 0.5
        others = np.setdiff1d(np.arange(len(member)), self.canaries)
        member[rng.permutation(others)[: len(member) // 2 - member.sum()]] = True
        return member

    def has(self, seed: int, index: np.ndarray, in_training: np.ndarray) -> np.ndarray:
        """Which targets are in the training of the model of that seed: bool [T].

        Args:
            seed: the model's.
            index: int [T], positions in the training set, or in the test set.
            in_training: bool [T], which of the two.
        """
        return in_training & np.isin(index, self.index[self.member(seed)])

    @cached_property
    def is_canary(self) -> np.ndarray:
        """bool [N]"""
        return np.isin(np.arange(len(self.labels)), self.canaries)

    def half(self, seed: int, data: Mnist) -> Mnist:
        """What the model of that seed is trained on; in place of test images it has some of the other half."""
        member = self.member(seed)
        tested = np.flatnonzero(~member)[:TESTED]
        of_half = self.images[member], self.labels[member]
        return Mnist(*of_half, self.images[tested], self.true_labels[tested], data.name, data.sha256)


def board(data: Mnist, game: Game, targets: np.ndarray) -> Board:
    """Draw a game's images and wrong labels.

    Args:
        data: whose training images they are.
        game: how many, and under which labels.
        targets: int [T], positions of training images that keep their label, for other attacks are on them.

    Raises:
        ValueError: there are not as many.
    """
    count = len(data.train_labels)
    size, left = game.images or count, count - len(targets)
    if size > count or game.canaries > min(left, size // 2):
        raise ValueError(
            f"the game asks for {size:,} images and {game.canaries:,} canaries; {data.name} has {count:,} training "
            f"images, {len(targets):,} of them targets, and at most half may be canaries: ask for fewer."
        )
    rng = generator(SEED, "game")
    index = np.sort(rng.choice(count, size, replace=False))
    true = data.train_labels[index]
    labels = true if game.labels == "true" else rng.integers(0, data.classes, size).astype(true.dtype)
    free = np.flatnonzero(~np.isin(index, targets))
    canaries = np.sort(rng.choice(free, game.canaries, replace=False))
    labels = labels.copy()
    labels[canaries] = (true[canaries] + rng.integers(1, data.classes, len(canaries))) % data.classes
    return Board(data.train_images[index], true, labels, canaries, index)


@dataclass(frozen=True)
class Coin:
    """A model of a game, as it is kept."""

    phi: np.ndarray  # float32 [N], its scaled confidence in the label that each image of the game has
    test_accuracy: float  # on all that it was not trained on, by their true labels
    sha256: str  # of its last checkpoint
    seconds: float  # that it took to make
    history: History
    checkpoints: dict[
        str, np.ndarray
    ]  # content by name, uint8: of each epoch where others are cut from it, or the last

    @property
    def name(self) -> str:
        """Of its last checkpoint."""
        return [*self.checkpoints][-1]

    def trained(self, model: Model, study: Study, profile: str, folder: Path) -> Trained:
        """The network again; its checkpoints are put into a folder."""
        folder.mkdir()
        for name, content in self.checkpoints.items():
            (folder / name).write_bytes(content.tobytes())
        arm = study.arm_of(profile, model)
        network = untrained(arm)
        load_checkpoint(network, checkpoints_in(folder)[-1])
        return Trained(network, arm, model.seed, self.history, checkpoints=folder)


class Mint:
    """Makes the models of a game, or finds them: each that is finished is one file.

    Args:
        study, profile: which arms they are of.
        data, board: on what.
        folder: where they are kept, by all that decides them.
    """

    def __init__(self, study: Study, profile: str, data: Mnist, board: Board, folder: Path) -> None:
        self.study, self.profile = study, profile
        self.data, self.board, self.folder = data, board, folder
        self._presses: dict[str, Press] = {}  # by arm
        self._readers: dict[str, nn.Cell] = {}  # a network of each kind, to look at all images with

    def coin(self, model: Model) -> Coin:
        """A model, from its file if it has one."""
        path = self.folder / f"{self._key(model)}.npz"
        if not path.is_file():
            self._make(model, path)
        arrays = read_arrays(path)
        facts, phi = json.loads(str(arrays.pop("facts"))), arrays.pop("phi")
        return Coin(phi, **facts | {"history": History(**facts["history"])}, checkpoints=arrays)

    @contextmanager
    def victim(self, model: Model) -> Iterator[Trained]:
        """A model as its network, while the block lasts."""
        with tempfile.TemporaryDirectory() as name:
            yield self.coin(model).trained(model, self.study, self.profile, Path(name, "own"))

    def _key(self, model: Model) -> str:
        """By recipe, those it builds on, data, who is in, and code."""
        arm = self.study.arm_of(self.profile, model)
        built_on = [self.study.arm(self.profile, name) for name in arm.earlier()]
        recipe = [each.recipe() for each in (arm, *built_on)]
        board = self.board
        drawn = board.index, board.labels, board.member(model.seed), np.array(self._is_cut(model))
        parts = [each.tobytes() for each in drawn]
        return key_of([recipe, self.data.sha256, model.seed], *parts, code=__file__)

    def _is_cut(self, model: Model) -> bool:
        """Whether another arm is this one after an earlier epoch."""
        return model.value is None and any(arm.cut == model.arm for arm in self.study.arms.values())

    def _make(self, model: Model, path: Path) -> None:
        arm, board = self.study.arm_of(self.profile, model), self.board
        with tempfile.TemporaryDirectory() as name:
            folder, earlier = Path(name), {}
            for one in (Model(each, model.seed) for each in arm.earlier()):
                earlier[one.arm] = self.coin(one).trained(one, self.study, self.profile, folder / one.arm)
            started = time.perf_counter()
            press = self._presses.setdefault(model.kind, Press())
            half, kept = board.half(model.seed, self.data), folder / "own"
            made = make(arm, model.seed, half, kept, earlier=earlier, press=press)
            logits = self._read(arm, checkpoints_in(kept)[-1])
            phi, out = scaled_confidence(logits, board.labels), ~board.member(model.seed)
            checkpoints = checkpoints_in(kept) if self._is_cut(model) else checkpoints_in(kept)[-1:]
            facts = {
                "test_accuracy": float(np.mean(logits[out].argmax(1) == board.true_labels[out])),
                "sha256": sha256_of(checkpoints[-1]),
                "seconds": round(time.perf_counter() - started, 3),
                "history": asdict(made.history),
            }
            content = {each.name: np.frombuffer(each.read_bytes(), np.uint8) for each in checkpoints}
            with atomically(path) as part, part.open("wb") as file:
                np.savez(file, facts=np.array(json.dumps(facts)), phi=phi.astype(np.float32), **content)

    def _read(self, arm: Arm, weights: Path) -> np.ndarray:
        """What a network says of all images of the game, by one that stays compiled."""
        kind = f"{arm.network}-{arm.units}-{arm.activation}"
        if kind not in self._readers:
            self._readers[kind] = untrained(arm)
        load_checkpoint(self._readers[kind], weights)
        return predict(self._readers[kind], self.board.images)


@dataclass(frozen=True)
class Table:
    """What all models of an arm say of a game's images; of no arm, nothing."""

    board: Board
    seeds: list[int]
    phi: np.ndarray  # float64 [M, N], a row a seed

    @cached_property
    def member(self) -> np.ndarray:
        """bool [M, N]"""
        return np.stack([self.board.member(seed) for seed in self.seeds])

    def attacked(self, variant: Variant, seed: int) -> tuple[dict[str, Any], Arrays]:
        """An attack on the model of one seed, the others being its shadows; or on that seed's draw alone.

        Returns:
            metrics of canaries and of all others by name; the scores of canaries, where there are none of all, as
            arrays of a run.
        """
        return self._without_model(variant, seed) if variant.sees == "images" else self._with_shadows(variant, seed)

    def _with_shadows(self, variant: Variant, seed: int) -> tuple[dict[str, Any], Arrays]:
        board, row = self.board, self.seeds.index(seed)
        member, others = self.member[row], np.arange(len(self.seeds)) != row
        seen = CoinView(self.phi[row], np.arange(len(member)), Shadows(self.phi[others], self.member[others]))
        scores = ATTACKS[variant.kind].run(seen, seed=seed, **variant.settings)
        groups = {"canaries": board.is_canary, "others": ~board.is_canary}
        results = {name: of_victim(scores[rows], member[rows]) for name, rows in groups.items() if rows.any()}
        shown = board.canaries if len(board.canaries) else np.arange(len(member))
        which = {"candidate": np.arange(len(shown)), "index": board.index[shown], "label": board.labels[shown]}
        arrays = {"score": few_digits(scores[shown]), "member": member[shown]}
        return results, arrays | {name: few_bytes(values) for name, values in which.items()}

    def _without_model(self, variant: Variant, seed: int) -> tuple[dict[str, Any], Arrays]:
        """Of half the images, none of them canaries, it is told who is in; of the other half it says it."""
        board, member = self.board, self.member[self.seeds.index(seed)]
        rows = generator(seed, "blind").permutation(np.flatnonzero(~board.is_canary))
        known, asked = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        told = board.images[known], board.labels[known], member[known]
        seen = BlindView(*told, board.images[asked], board.labels[asked])
        scores = ATTACKS[variant.kind].run(seen, seed=seed, **variant.settings)
        return {"others": of_victim(scores, member[asked])}, {}
