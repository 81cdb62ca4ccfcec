"""MindArmour's classes under their names: the tutorial's script with other import lines."""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, TypeAlias

import numpy as np
from mindspore import nn
from mindspore.dataset import Dataset
from mindspore.train import Callback, Model, RunContext

from suppress_privacy.attacks.inversion import FeatureInversion
from suppress_privacy.checks import check, checked, described
from suppress_privacy.defences.suppress import SuppressCtrl
from suppress_privacy.evaluation import metrics
from suppress_privacy.lenet import predict
from suppress_privacy.ranks import must_be_alike
from suppress_privacy.runtime import cure_pynative
from suppress_privacy.training import Defence, TrainStep, must_be_finite

Loss = Annotated[nn.Cell, "a nn.Cell, such as nn.SoftmaxCrossEntropyWithLogits"]
MADE = "what SuppressPrivacyFactory().create returned"
Callbacks: TypeAlias = Callback | Sequence[Callback] | None


class SuppressModel(Model):
    """A `mindspore.train.Model` whose training step lets a linked `SuppressCtrl` act on the weights.

    Args:
        network: the network to train.
        loss_fn: from the network's output and the labels to a scalar.
        optimizer: any one, over the network's trainable parameters.
        kwargs: of `mindspore.train.Model`: metrics, eval_network, eval_indexes.

    Raises:
        TypeError: network, loss_fn or optimizer of another type.
        ValueError: mixed precision or loss scaling is asked for.

    Examples:
        >>> from mindspore.dataset import NumpySlicesDataset
        >>> from suppress_privacy import SuppressPrivacyFactory, propose_mask_layers
        >>> classifier = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10))
        >>> batches = NumpySlicesDataset((data.train_images, data.train_labels), ["image", "label"]).batch(100)
        >>> rise = {"start_epoch": 1, "end_epoch": 1, "batch_num": 40, "mask_times": 4, "lr": 0.1, "sparse_end": 0.9}
        >>> control = SuppressPrivacyFactory().create(classifier, propose_mask_layers(classifier), **rise)
        >>> loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
        >>> model = SuppressModel(classifier, loss, nn.SGD(classifier.trainable_params(), 0.1))
        >>> model.link_suppress_ctrl(control)
        >>> model.train(1, batches, callbacks=[SuppressMasker(model, control)], dataset_sink_mode=False)
        >>> round(control.calc_actual_sparse_for_layer(classifier, "1.weight"), 1)
        0.9
    """

    @checked
    def __init__(self, network: nn.Cell, loss_fn: Loss, optimizer: nn.Optimizer, **kwargs: Any) -> None:
        if kwargs.get("amp_level", "O0") != "O0" or kwargs.get("loss_scale_manager") is not None:
            raise ValueError("amp_level or loss_scale_manager is set; masks are exact in float32: leave both out.")
        self.linked: Defence = Defence()  # acts in training
        super().__init__(network, loss_fn, optimizer, **kwargs)

    @checked
    def link_suppress_ctrl(self, suppress_pri_ctrl: Annotated[SuppressCtrl, MADE]) -> None:
        """Let a defence, made for this model's network, act in its training.

        Raises:
            TypeError: not a SuppressCtrl, or one made with `compat` for another optimiser than nn.SGD.
            ValueError: made for another network.
        """
        if suppress_pri_ctrl.compat:
            check("optimizer", self._optimizer, Annotated[nn.SGD, "nn.SGD, for a control made with compat=True"])
        if suppress_pri_ctrl.networks is not self._network:
            raise ValueError("suppress_pri_ctrl was made for another network: create it with that of this model.")
        self.linked = suppress_pri_ctrl
        self._train_network = self._build_train_network()

    def train(self, epoch: int, train_dataset: Dataset, callbacks: Callbacks = None, *args: Any, **kwargs: Any) -> None:
        """As `mindspore.train.Model.train`; after an earlier call the schedule goes on.

        Raises:
            ValueError: a defence is linked, but callbacks hold no SuppressMasker of it, or more than one.
        """
        self._must_mask(callbacks)
        super().train(epoch, train_dataset, callbacks, *args, **kwargs)

    def fit(
        self,
        epoch: int,
        train_dataset: Dataset,
        valid_dataset: Dataset | None = None,
        valid_frequency: int | list[int] = 1,
        callbacks: Callbacks = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """As `mindspore.train.Model.fit`, and with what is said of `train`."""
        self._must_mask(callbacks)
        super().fit(epoch, train_dataset, valid_dataset, valid_frequency, callbacks, *args, **kwargs)

    def _must_mask(self, callbacks: Callbacks) -> None:
        given = callbacks if isinstance(callbacks, Sequence) else [callbacks]
        masked = [each.suppress_ctrl for each in given if isinstance(each, SuppressMasker)]
        if masked != [self.linked] and (masked or isinstance(self.linked, SuppressCtrl)):
            raise ValueError(
                f"callbacks hold {sum(each is self.linked for each in masked)} SuppressMasker of the control that is "
                f"linked to the model, and {sum(each is not self.linked for each in masked)} of others: give one of "
                "it, and no other."
            )

    def _build_train_network(self) -> nn.Cell:
        cure_pynative()
        return TrainStep(nn.WithLossCell(self._network, self._loss_fn), self._optimizer, self.linked)


class SuppressMasker(Callback):
    """Updates the masks between training steps.

    Args:
        model: the model that is trained.
        suppress_ctrl: the defence linked to it.

    Raises:
        TypeError: an argument of another type.
        ValueError: the defence is not linked to the model; when training begins, if its steps are out of sight
            (dataset_sink_mode) or not as many an epoch as the schedule was made for; after the first step and each
            epoch, if ranks that train in parallel differ; at the end of an epoch, if it diverged; when training ends,
            if there is no zero where there should be some.

    Examples:
        >>> SuppressMasker(model, control).suppress_ctrl is control
        True
    """

    @checked
    def __init__(self, model: SuppressModel, suppress_ctrl: Annotated[SuppressCtrl, MADE]) -> None:
        if model.linked is not suppress_ctrl:
            raise ValueError("suppress_ctrl is not linked to model: call model.link_suppress_ctrl(suppress_ctrl).")
        self.suppress_ctrl = suppress_ctrl
        self._begins = False  # a call of train whose first epoch has not begun

    def on_train_begin(self, run_context: RunContext) -> None:
        cure_pynative()  # the mode may have been set after the model was made
        run = run_context.original_args()
        if run.dataset_sink_mode:
            raise ValueError("dataset_sink_mode is True; masks are updated between steps: train with False.")
        self.suppress_ctrl.schedule.fits(run.batch_num)
        self.suppress_ctrl.must_suppress(self.suppress_ctrl.schedule.last_step + 1)
        self._begins = not self.suppress_ctrl.done

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        run = run_context.original_args()
        if self._begins:
            self.suppress_ctrl.warn_of_end((run.cur_epoch_num - 1 + run.epoch_num) * run.batch_num)
        self._begins = False

    def on_train_step_end(self, run_context: RunContext) -> None:
        # The model counts from its initial_epoch in every call of train, the control over all of them.
        run = run_context.original_args()
        counted = (run.cur_epoch_num - 1) * run.batch_num + (run.cur_step_num - 1) % run.batch_num + 1
        self.suppress_ctrl.after_step(max(counted, self.suppress_ctrl.done + 1))
        if run.cur_step_num == 1:
            self._must_be_alike()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        run = run_context.original_args()
        must_be_finite(run.network, run.cur_epoch_num)
        self._must_be_alike()

    def _must_be_alike(self) -> None:
        control = self.suppress_ctrl
        parameters = [*control.networks.trainable_params(), *control.masks, *control.moves]
        must_be_alike(parameters, control.state(), control.done)

    def on_train_end(self, run_context: RunContext) -> None:
        self.suppress_ctrl.end(self.suppress_ctrl.done)


class ImageInversionAttack(FeatureInversion):
    """MindArmour's attack: `generate` reconstructs images from features, `evaluate` compares them.

    The arguments are those of `FeatureInversion`.

    Examples:
        >>> attack = ImageInversionAttack(first, input_shape=(1, 32, 32), input_bound=(0, 1), loss_weights=[1, 0.2, 5])
        >>> found = attack.generate(view.features, iters=3)
        >>> distance, similarity, confidence = attack.evaluate(images, found, labels, network)
        >>> 0 < distance < 2, 0 <= confidence <= 1
        (True, True)
    """

    @checked
    def evaluate(
        self,
        original_images: np.ndarray,
        inversion_images: np.ndarray,
        labels: np.ndarray | None = None,
        new_network: nn.Cell | None = None,
    ) -> tuple[float, float, float | None]:
        """Compare reconstructions with the originals.

        Args:
            original_images, inversion_images: [N, C, H, W], sides of 7 pixels at least.
            labels: true labels, [N].
            new_network: an independent classifier.

        Returns:
            Mean relative L2 distance; mean SSIM with data_range 2, as the reference has it; mean confidence of
            `new_network` in the true labels, None without labels or network.

        Raises:
            TypeError: images or labels are no numpy.ndarray, new_network is no nn.Cell.
            ValueError: shapes differ, values are not finite, or labels are not one known class number each.
        """
        distance = metrics.relative_l2(original_images, inversion_images).mean()
        similarity = metrics.ssim(original_images, inversion_images, data_range=2).mean()
        count = len(inversion_images)
        if labels is not None and (labels.size != count or labels.dtype.kind not in "iu"):
            raise ValueError(f"labels is {described(labels)} for {count} images: give one class number each.")
        if labels is None or new_network is None:
            return float(distance), float(similarity), None
        labels = labels.ravel()
        logits = predict(new_network, inversion_images.astype(np.float32))
        if not (labels.min() >= 0 and labels.max() < logits.shape[1]):
            raise ValueError(
                f"labels has values from {labels.min()} to {labels.max()}; new_network tells {logits.shape[1]} "
                "classes apart, from 0: give its class numbers."
            )
        return float(distance), float(similarity), float(metrics.confidence(logits, labels).mean())


class LogUtil:
    """MindArmour's logging: messages with a tag, on this package's logger, whose own messages its level shows as well.

    They go where the program sends its log messages; if it has set up none, to stderr.

    Examples:
        >>> log = LogUtil.get_instance()
        >>> log.info("training", "accuracy is %.3f", 0.981)  # to where the program sends its log messages
    """

    LOGGER = logging.getLogger("suppress_privacy")
    FORMAT = "[%(levelname)s] %(name)s(%(process)d:%(thread)d,%(processName)s):%(asctime)s [%(pathname)s:%(lineno)d] "

    @classmethod
    @cache
    def get_instance(cls) -> "LogUtil":
        """The one there is."""
        if not cls.LOGGER.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter(f"{cls.FORMAT}%(message)s"))
            cls.LOGGER.addHandler(handler)
        return cls()

    @checked
    def set_level(self, level: int | str) -> None:
        """Show messages from this level on, such as "INFO"; one that is none of `logging`'s is refused."""
        self.LOGGER.setLevel(level)

    @checked
    def add_handler(self, handler: logging.Handler) -> None:
        """Send messages there as well."""
        self.LOGGER.addHandler(handler)

    def debug(self, tag: str, msg: str, *args: Any) -> None:
        self._log(logging.DEBUG, tag, msg, *args)

    def info(self, tag: str, msg: str, *args: Any) -> None:
        self._log(logging.INFO, tag, msg, *args)

    def warn(self, tag: str, msg: str, *args: Any) -> None:
        self._log(logging.WARNING, tag, msg, *args)

    def error(self, tag: str, msg: str, *args: Any) -> None:
        self._log(logging.ERROR, tag, msg, *args)

    def _log(self, level: int, tag: str, msg: str, *args: Any) -> None:
        tag = tag.replace("%", "%%") if args else tag
        self.LOGGER.log(level, f"[{tag}] {msg}", *args, stacklevel=3)  # the line that is shown is the caller's
