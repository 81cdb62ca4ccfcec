"""A complete edition of a small study: three networks of one seed on the embedded digits, attacked and published."""

from dataclasses import replace

from suppress_study import campaigns, run
from suppress_study.notebook import checked_parameters
from suppress_study.plan import Study
from suppress_study.results import made_in, read_job, write_job
from suppress_study.session_attack import Attacking
from suppress_study.session_train import Training
from suppress_study.settings import Campaign

NAME, COMMIT, TAG = "small", "0123456789ab", "edition-0"
SHORT = {"epochs": 1, "batch_size": 16}
CAMPAIGN = {
    "title": "a small study",
    "data": "embedded",
    "seeds": [0],
    "arms": ["dense-sgd", "suppressed-example", "feature-noise"],
    "attacks": ["mean", "class-mean", "ridge"],
    "training": SHORT,
    "overrides": {
        "suppressed-example": {
            "epochs": 2,
            "batch_size": 8,
            "defence": {"start_epoch": 1, "end_epoch": 2, "mask_times": 67},
        },
        "evaluator-convnet": {"batch_size": 64},
    },
    "targets": {"train_per_class": 2, "test_per_class": 1},
    "matched": False,
}


def make(folder):
    """All runs of the study in a folder, as the notebooks make them, at a commit that has a tag; and publish them."""
    campaigns.keep(folder, NAME, Campaign.model_validate(CAMPAIGN), None)
    for job in Study.today(folder).jobs(NAME):
        model = {"arm": job.model.arm, "seed": job.model.seed}
        given = {"profile": NAME, "results": str(folder), "device": "CPU", **model}
        if job.kind == "train":
            Training(checked_parameters("train", given)).train()
            continue
        attacking = Attacking(checked_parameters("attack", given | {"models": str(folder), "group": job.group}))
        for name in attacking.variants:
            attacking.attack(name)
        attacking.look()
        attacking.save()
    for path in made_in(folder):
        write_job(path, [(replace(each, commit=COMMIT, tag=TAG), arrays) for each, arrays in read_job(path)])
    assert run.main(["publish", "--results", str(folder), "--profile", NAME]) == 0
    return folder
