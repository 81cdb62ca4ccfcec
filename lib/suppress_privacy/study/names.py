"""How records are called."""


def training_name(arm, seed):
    """The record of one training, and the folder of its checkpoints."""
    return f"train-{arm}-seed{seed}"


def attack_name(attack, arm, seed):
    """The record of one attack on one model."""
    return f"attack-{attack}-{arm}-seed{seed}"


def mechanism_name(arm, seed):
    """The record of what one model's features hold."""
    return f"mechanism-{arm}-seed{seed}"
