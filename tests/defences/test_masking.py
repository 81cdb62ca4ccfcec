import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy.defences.masking import Masking


class Step(nn.Cell):
    """Adds a number to every weight, as an optimiser might, and masks them in the same graph."""

    def __init__(self, masking):
        super().__init__(auto_prefix=False)
        self.masking = masking

    def construct(self, change):
        for weight in self.masking.weights:
            ms.ops.assign_add(weight, change * ms.ops.ones_like(weight))
        self.masking()
        return change


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_what_is_masked_is_exactly_zero_and_the_rest_as_the_optimiser_left_it(mode):
    rng = np.random.default_rng(0)
    shapes = [(6, 1, 5, 5), (120, 400), (1, 3), (7,)]
    values = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    kept = [rng.random(shape) < 0.3 for shape in shapes]
    weights = ms.ParameterTuple([ms.Parameter(ms.Tensor(v), name=f"w{i}") for i, v in enumerate(values)])
    masks = ms.ParameterTuple([ms.Parameter(ms.Tensor(k.astype(np.float32)), name=f"m{i}") for i, k in enumerate(kept)])
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        step = Step(Masking(weights, masks))
        for _ in range(2):
            step(ms.Tensor(np.float32(0.5)))
    finally:
        ms.set_context(mode=before)
    for weight, value, keep in zip(weights, values, kept, strict=True):
        expected = ((value + np.float32(0.5)) * keep + np.float32(0.5)) * keep
        assert np.array_equal(weight.asnumpy(), expected)
        assert np.all(weight.asnumpy()[~keep] == 0)
