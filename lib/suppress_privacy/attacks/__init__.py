"""Attacks by the name that study.yaml gives as their `kind`, in a table for each kind of view."""

from suppress_privacy.attacks import decoder, floors, gradients, inversion, membership, tuned

ON_FEATURES = {
    "floor-black": floors.black,
    "floor-mean": floors.mean,
    "floor-class-mean": floors.class_mean,
    "floor-nearest": floors.nearest,
    "inversion": inversion.invert,
    "tuned-inversion": tuned.invert,
    "decoder-ridge": decoder.ridge,
    "decoder-network": decoder.network,
}
ON_GRADIENTS = {
    "gradient-dlg": gradients.dlg,
    "gradient-idlg": gradients.idlg,
    "gradient-cosine": gradients.cosine,
}
ON_MEMBERSHIP = {
    "membership-loss": membership.loss_threshold,
    "membership-lira": membership.lira,
}
ATTACKS = ON_FEATURES | ON_GRADIENTS | ON_MEMBERSHIP
