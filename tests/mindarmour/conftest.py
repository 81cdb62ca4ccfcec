import logging
import warnings

import pytest


@pytest.fixture(scope="session")
def original():
    """The real MindArmour 2.0.0, silenced: a namespace of what is compared."""
    from types import SimpleNamespace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            from mindarmour.privacy.evaluation.inversion_attack import ImageInversionAttack, InversionLoss
            from mindarmour.privacy.sup_privacy import (
                MaskLayerDes,
                SuppressMasker,
                SuppressModel,
                SuppressPrivacyFactory,
            )
            from mindarmour.privacy.sup_privacy.sup_ctrl import conctrl
            from mindarmour.utils.logger import LogUtil
        finally:
            logging.disable(logging.NOTSET)
    LogUtil.get_instance().set_level("ERROR")
    # Two collections in every update of every layer: they change nothing and take most of the time.
    conctrl.gc = SimpleNamespace(collect=lambda: None)
    return SimpleNamespace(
        ImageInversionAttack=ImageInversionAttack,
        InversionLoss=InversionLoss,
        MaskLayerDes=MaskLayerDes,
        SuppressMasker=SuppressMasker,
        SuppressModel=SuppressModel,
        SuppressPrivacyFactory=SuppressPrivacyFactory,
    )
