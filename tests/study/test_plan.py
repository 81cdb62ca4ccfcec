"""What a profile asks for: every arm, sweep and attack of study.yaml becomes runs, told apart by their factors."""

import copy
from graphlib import TopologicalSorter

import pytest

from suppress_privacy.attacks import ATTACKS
from suppress_privacy.checks import keywords
from suppress_privacy.defences import DEFENCES
from suppress_privacy.defences.layers import PUBLISHED_LAYERS, mask_layers
from suppress_privacy.evaluation.metrics import METRICS
from suppress_study.jobs import NONE, Model
from suppress_study.plan import Study
from suppress_study.reading import SettingsError, read_yaml
from suppress_study.results import PUBLISHED, key, published_runs
from suppress_study.settings import FOLDER, ROOT

STUDY = Study.load()
SWEPT = "suppressed-example"


def with_changes(change):
    """The study after `change` to the content of its file."""
    content = copy.deepcopy(read_yaml(FOLDER / "study.yaml"))
    change(content)
    return Study.model_validate(content)


def runs_of(study, profile):
    return {run.name: run for job in study.jobs(profile) for run in job.runs}


# Arms, as a profile, a value of their sweep and a rerunner make them


def test_overrides_are_laid_over_the_arm_key_by_key():
    plain = STUDY.arm("quick", SWEPT)
    assert (plain.epochs, plain.defence["mask_times"], plain.defence["sparse_end"]) == (10, 1000, 0.95)
    smoke = STUDY.arm("smoke", SWEPT)
    assert (smoke.epochs, smoke.defence["end_epoch"], smoke.defence["sparse_end"]) == (2, 2, 0.95)
    mine = STUDY.arm("smoke", SWEPT, {"defence": {"sparse_end": 0.5}})
    assert (mine.epochs, mine.defence["end_epoch"], mine.defence["sparse_end"]) == (2, 2, 0.5)
    assert (mine.title, STUDY.arm("smoke", SWEPT)) == (plain.title, smoke)
    with pytest.raises(SettingsError, match=r"in profile smoke: defence\.sparse_ends is not a setting"):
        STUDY.arm("smoke", SWEPT, {"defence": {"sparse_ends": 0.5}})


def test_a_cut_arm_is_trained_as_the_one_it_is_cut_from():
    for profile in STUDY.profiles:
        matched, whole = (STUDY.arm(profile, name) for name in ("accuracy-matched", "dense-sgd"))
        assert matched.recipe() == whole.recipe() | {"cut": "dense-sgd", "accuracy_of": SWEPT}
        assert matched.title != whole.title


def test_a_swept_model_has_that_value_its_own_title_and_band_and_stands_for_nothing_documented():
    own, swept = STUDY.arm("full", SWEPT), STUDY.arm("full", SWEPT, value=0.98)
    assert swept.defence == own.defence | {"sparse_end": 0.98}
    assert (own.title, swept.title) == ("suppressed (example)", "suppressed to 98 %")
    assert swept.band.test_accuracy == [0.95, 0.995] and swept.band.sparsity == [0.93, 0.981]
    half = STUDY.arm("full", SWEPT, value=0.5)
    assert half.band.sparsity == [0.49, 0.51] and half.band.test_accuracy == own.band.test_accuracy
    assert (own.documented, swept.documented, half.documented) == ("suppressed", None, None)
    assert own.recipe() | {"defence": swept.defence} == swept.recipe()
    assert STUDY.arm("smoke", SWEPT, value=0.5).epochs == STUDY.arm("smoke", SWEPT).epochs  # in the profile's schedule
    with pytest.raises(SettingsError, match=r"arm baseline has no sweep, so no value 0\.5 of one: leave it out"):
        STUDY.arm("full", "baseline", value=0.5)


def test_a_model_is_named_by_arm_value_and_seed_and_found_again_by_them():
    for swept, kind, factors in (
        ({}, SWEPT, {"arm": SWEPT, "sparse_end": 0.95}),
        ({"sparse_end": 0.5}, f"{SWEPT}@0.5", {"arm": SWEPT, "sparse_end": 0.5}),
        ({"sparse_end": 0.95}, SWEPT, {"arm": SWEPT, "sparse_end": 0.95}),  # its own value is no other model
    ):
        model = STUDY.model(SWEPT, 3, swept)
        assert (str(model), model.kind) == (f"{kind}-seed3", kind)
        assert STUDY.factors("full", model) == factors
        assert STUDY.model(SWEPT, 3, STUDY.swept_by(model)) == model
    assert STUDY.factors("full", STUDY.model("baseline", 0, {})) == {"arm": "baseline"}
    assert STUDY.factors("full", Model(NONE, 0)) == {"arm": NONE}


@pytest.mark.parametrize(
    ("arm", "swept", "error", "message"),
    [
        (SWEPT, {"sparse": 1}, SettingsError, r"swept is {'sparse': 1}; .* it must be a value of sparse_end: correct"),
        (SWEPT, {"sparse_end": 0.5, "lr": 1}, SettingsError, "it must be a value of sparse_end"),
        (SWEPT, {"sparse_end": "half"}, TypeError, r"swept\.sparse_end is 'half'; it must be a number"),
        (SWEPT, {"sparse_end": True}, TypeError, r"swept\.sparse_end is True; it must be a number"),
        ("baseline", {"sparse_end": 0.5}, SettingsError, "it must be nothing, for this arm has no sweep"),
        ("nobody", {"sparse_end": 0.5}, SettingsError, "arm is 'nobody'; allowed are baseline"),
    ],
)
def test_a_value_of_no_sweep_is_refused(arm, swept, error, message):
    with pytest.raises(error, match=message):
        STUDY.model(arm, 0, swept)


# Attacks, where they look and with what they are swept over


def test_a_variant_is_the_attacks_own_but_for_the_factors_that_are_given():
    own = STUDY.variant("full", "tuned")
    assert own.columns() == {"attack": "tuned", "depth": "fc1"} and own.settings["iters"] == 200
    there = STUDY.variant("full", {"attack": "tuned", "depth": "conv1"})
    assert there.columns() == {"attack": "tuned", "depth": "conv1"} and there.settings == own.settings
    assert STUDY.variant("full", "black").columns() == {"attack": "black"}
    assert STUDY.variant("full", {"attack": "dlg", "moment": "start"}).columns() == {"attack": "dlg", "moment": "start"}
    reference = {"attack": "reference", "depth": "fc1", "smoothness_weight": 0.1, "smoothness": "cpu"}
    assert STUDY.variant("full", "reference").columns() == reference
    for changes in ({"smoothness": "ascend"}, {"smoothness_weight": 0.3}):
        found = STUDY.variant("full", {"attack": "reference", **changes})
        assert found.columns() == reference | changes
        assert found.settings == STUDY.variant("full", "reference").settings | changes


def test_what_an_attacker_has_less_of_is_a_factor_where_it_is_said():
    fewer = {str(job): job for job in STUDY.jobs("full")}["attack-baseline-seed0-fewer"]
    assert [each.columns() for each in fewer.variants] == [
        {"attack": attack, "depth": "fc1", "auxiliary": count}
        for attack in ("ridge", "decoder")
        for count in (100, 1000)
    ]
    assert "auxiliary" not in STUDY.variant("full", "ridge").columns()
    found = STUDY.variant("full", {"attack": "ridge", "auxiliary_kind": "fashion-mnist"})
    assert found.columns() == {"attack": "ridge", "depth": "fc1", "auxiliary_kind": "fashion-mnist"}
    assert found.recipe()["auxiliary_kind"] == "fashion-mnist" and found.seen() == "features at fc1"
    with pytest.raises(SettingsError, match="sees has auxiliary, which attacks on features alone can do without"):
        STUDY.variant("full", {"attack": "dlg", "auxiliary": 100})


def test_the_network_of_another_seed_is_the_next_one_of_its_arm():
    weaker, ordinary = (STUDY.variant("full", {"attack": "ridge"} | more) for more in ({"known": "another-seed"}, {}))
    following = {
        model.seed: STUDY.another("full", model, [weaker]) for model in STUDY.models("full") if model.kind == SWEPT
    }
    assert {seed: other.seed for seed, other in following.items()} == {0: 1, 1: 2, 2: 3, 3: 4, 4: 0}
    assert {other.kind for other in following.values()} == {SWEPT}
    assert STUDY.another("full", Model(SWEPT, 0, 0.5), [weaker]) == Model(SWEPT, 1, 0.5)
    assert STUDY.another("full", Model(SWEPT, 0), [ordinary]) is None
    group = {"attacks": ["ridge"], "sees": {"known": ["another-seed"]}, "arms": [SWEPT], "seeds": [0]}
    with pytest.raises(ValueError, match="has one seed in profile quick, and no network besides: add a seed"):
        with_changes(lambda content: content["profiles"]["quick"]["further"].update(other=group))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"attack": "nope"}, "attack is 'nope'; allowed are black, mean"),
        ({"attack": "tuned", "dpeth": "conv1"}, "attack tuned is not told apart by dpeth: correct the name"),
        ({"attack": "tuned", "smoothness": "cpu"}, "attack tuned is not told apart by smoothness"),
        ({"attack": "tuned", "depth": "conv9"}, "depth is 'conv9'; allowed are conv1"),
        ({"attack": "tuned", "moment": "end"}, "depth is 'end'; allowed are conv1"),
        ({"attack": "loss", "depth": "fc1"}, "at is .'fc1'., but what loss sees, outputs, has no depth or moment"),
        ({"attack": "reference", "smoothness": "gpu"}, "smoothness is 'gpu'; it must be 'cpu' or 'ascend'"),
    ],
)
def test_factors_that_an_attack_has_not_are_refused(factors, message):
    with pytest.raises(SettingsError, match=message):
        STUDY.variant("full", factors)


def test_a_profile_and_a_rerunner_change_the_settings_of_attacks():
    iters = {
        (profile, changes.get("iters")): STUDY.variants(profile, "tuned", overrides=changes)[0].settings["iters"]
        for profile, changes in (("quick", {}), ("smoke", {}), ("smoke", {"iters": 7}))
    }
    assert iters == {("quick", None): 200, ("smoke", None): 20, ("smoke", 7): 7}
    one, two = STUDY.variants("quick", "reference", overrides={"iters": 3})
    assert one.settings | {"smoothness": "ascend"} == two.settings and two.settings["iters"] == 3
    (only,) = STUDY.variants("quick", "reference", overrides={"smoothness": "ascend"})  # no longer swept over
    assert only.columns()["smoothness"] == "ascend"
    with pytest.raises(SettingsError, match="attack tuned in profile quick: itres is not a setting; there are iters"):
        STUDY.variants("quick", "tuned", overrides={"itres": 3})


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(SettingsError, match="profile is 'nope'; allowed are smoke, quick, full"):
        STUDY.profile("nope")
    with pytest.raises(SettingsError, match="attack is 'nope'; allowed are black, mean"):
        STUDY.variants("quick", "nope")
    with pytest.raises(SettingsError, match="arm is 'nope'; allowed are baseline, suppressed-example"):
        STUDY.arm("quick", "nope")
    with pytest.raises(SettingsError, match="group is 'nope'; allowed are decoders"):
        STUDY.attacking("quick", Model("baseline", 0), "nope")


# Jobs


def test_a_profile_asks_on_some_models_for_what_is_too_dear_for_all():
    quick = {str(job): [run.name for run in job.runs] for job in STUDY.jobs("quick")}
    models = ("baseline-seed0", f"{SWEPT}-seed0", "dense-sgd-seed0", "feature-noise-seed0")
    assert list(quick)[:7] == [f"train-{name}" for name in (*STUDY.judges().values(), *models)]
    assert quick["attack-baseline-seed0-decoders"] == ["attack-decoder-fc1-baseline-seed0"]
    assert "attack-dense-sgd-seed0-decoders" not in quick
    for model in models:
        assert f"attack-ridge-fc1-{model}" in quick[f"attack-{model}"]
        assert quick[f"attack-{model}"][-1] == f"mechanism-{model}"  # the last thing done to it
    full = runs_of(STUDY, "full")
    assert [seed for seed in range(9) if f"train-baseline-seed{seed}" in full] == [0, 1, 2, 3, 4]
    assert [seed for seed in range(9) if f"attack-ridge-fc1-dpsgd-eps3-seed{seed}" in full] == [0, 1, 2]
    assert full["attack-reference-fc1-0.3-cpu-baseline-seed0"].settings["settings"]["smoothness_weight"] == 0.3


def test_what_sees_nothing_of_a_network_runs_once_and_all_else_on_every_model():
    for profile in STUDY.profiles:
        jobs = STUDY.jobs(profile)
        for name, attack in STUDY.attacks.items():
            models = [job.model for job in jobs if any(variant.attack == name for variant in job.variants)]
            if attack.sees.what() == "nothing" or attack.sees.network:
                assert models == [Model(NONE, 0)] * (name in STUDY.profile(profile).attacks)
            elif name in STUDY.profile(profile).attacks:
                assert {*models} == {*STUDY.models(profile)}


@pytest.mark.parametrize("profile", STUDY.profiles)
def test_no_two_runs_share_a_name_or_a_place(profile):
    runs = [run for job in STUDY.jobs(profile) for run in job.runs]
    assert len({run.name for run in runs}) == len(runs) == len({(run.kind, run.seed, key(run.factors)) for run in runs})
    jobs = [str(job) for job in STUDY.jobs(profile)]
    assert len(set(jobs)) == len(jobs)


def test_any_arm_and_seed_is_a_job_though_no_profile_has_it():
    model = STUDY.model("dpsgd-eps7", 41, {})
    assert str(STUDY.training("smoke", model)) == "train-dpsgd-eps7-seed41"
    names = [run.name for run in STUDY.attacking("smoke", model).runs]
    assert "attack-tuned-fc1-dpsgd-eps7-seed41" in names and names[-1] == "mechanism-dpsgd-eps7-seed41"


def test_a_new_value_of_a_sweep_is_one_entry():
    study = with_changes(lambda content: content["arms"][SWEPT]["sweep"]["bands"].update({0.7: {}}))
    new = runs_of(study, "full").keys() - runs_of(STUDY, "full").keys()
    of_value = {name.replace("@0.8", "@0.7") for name in runs_of(STUDY, "full") if "@0.8" in name}
    assert new == of_value and f"train-{SWEPT}@0.7-seed2" in new
    assert runs_of(study, "full")[f"mechanism-{SWEPT}@0.7-seed0"].factors == {"arm": SWEPT, "sparse_end": 0.7}
    assert study.arm("full", SWEPT, value=0.7).title == "suppressed to 70 %"


def test_a_new_attack_is_one_entry_that_profiles_name():
    def change(content):
        content["attacks"]["late"] = {"title": "late", "kind": "ridge", "sees": {"features": ["fc2", "logits"]}}
        content["attacks"]["late"] |= {"settings": {"shuffled": False}, "sweep": {"shuffled": [False, True]}}
        smoke = content["profiles"]["smoke"]
        smoke["attacks"] = [*smoke["attacks"], "late"]  # a list of its own: the other profile has the same one

    new = runs_of(with_changes(change), "smoke").keys() - runs_of(STUDY, "smoke").keys()
    assert len(new) == 4 * 4 and "attack-late-logits-True-baseline-seed0" in new


@pytest.mark.parametrize("name", ["tuned-conv1", "seed3", "mean@2", "a-seed1-b"])
def test_names_of_arms_and_attacks_may_be_anything_for_nobody_takes_them_apart(name):
    def change(content):
        content["arms"][name] = content["arms"]["dense-sgd"] | {"title": "x"}
        content["attacks"][name] = content["attacks"]["ridge"] | {"kind": "ridge"}
        content["profiles"]["quick"]["arms"][name] = [0]
        content["profiles"]["quick"]["attacks"].append(name)

    run = runs_of(with_changes(change), "quick")[f"attack-{name}-fc1-{name}-seed0"]
    assert run.factors == {"arm": name, "attack": name, "depth": "fc1"}
    assert run.seed == 0 and run.settings["kind"] == "ridge"


def test_a_recipe_holds_all_that_decides_the_outcome_and_nothing_else():
    arm = STUDY.arm("full", "magnitude-finetuned")
    told = {"title", "documented", "band", "sweep", "as_accurate_as"}
    assert arm.recipe().keys() == type(arm).model_fields.keys() - told
    gradients = STUDY.variant("full", "dlg").recipe()
    assert gradients == {
        "kind": "dlg",
        "sees": "gradients",
        "moment": "end",
        "settings": {"restarts": 1, "iters": 200},
        "images_per_class": 10,
    }
    of_batch = {"attack": "analytic", "batch_size": 8, "sent": "unmasked"}
    assert STUDY.variant("full", of_batch).recipe() | {"settings": {}} == {
        "kind": "analytic",
        "sees": "gradients",
        "moment": "end",
        "batch_size": 8,
        "sent": "unmasked",
        "settings": {},
        "images_per_class": 10,
    }
    assert STUDY.variant("full", "dlg-sigmoids").recipe()["network"] == "sigmoid-lenet"
    assert STUDY.variant("full", "analytic-another").recipe()["another"] is True
    assert STUDY.variant("full", "loss").recipe()["candidates"] == 5000
    assert STUDY.variant("full", "ridge").recipe().keys() == {"kind", "sees", "depth", "settings"}


# The published configurations


@pytest.mark.parametrize("profile", STUDY.profiles)
def test_every_setting_that_runs_is_one_that_lib_takes(profile):
    for model in {*STUDY.models(profile), *STUDY.judges().values()}:
        defence = dict(STUDY.arm_of(profile, model).defence or {})
        if defence:
            kind = DEFENCES[defence.pop("kind")]
            assert keywords(kind, defence) == defence and kind(**defence)
    for job in STUDY.jobs(profile):
        for variant in job.variants:
            assert ATTACKS[variant.kind].settings(variant.settings) == variant.settings
            assert ATTACKS[variant.kind].sees == variant.sees


def test_the_published_configurations_are_mindarmours_own():
    example, tutorial = (STUDY.arm("full", name) for name in (SWEPT, "suppressed-tutorial"))
    for arm, layers in ((example, "mindarmour-example"), (tutorial, "mindarmour-tutorial")):
        assert mask_layers(arm.defence["layers"]) == mask_layers(PUBLISHED_LAYERS[layers])
    differing = {name for name in example.defence if example.defence[name] != tutorial.defence[name]}
    assert differing == {"layers"}
    assert STUDY.variant("full", "reference").settings["iters"] == 100


def test_controls_differ_from_the_suppressed_arm_in_what_they_are_for_and_nothing_else():
    suppressed = STUDY.arm("full", SWEPT)
    dense, pruned, masked = (STUDY.arm("full", name) for name in ("dense-sgd", "magnitude-finetuned", "random-mask"))
    assert suppressed.recipe() | {"defence": None} == dense.recipe()
    assert masked.recipe() == suppressed.recipe() | {"defence": suppressed.defence | {"kind": "random-mask"}}
    of_pruned = (pruned.defence["sparsity"], pruned.defence["layers"])
    assert of_pruned == (suppressed.defence["sparse_end"], suppressed.defence["layers"])
    assert pruned.recipe() | {"start": None, "defence": None, "optimizer": None} == dense.recipe() | {"optimizer": None}
    assert pruned.optimizer.name == suppressed.optimizer.name
    assert (pruned.start, pruned.as_accurate_as) == ("dense-sgd", SWEPT)
    private = [STUDY.arm("full", f"dpsgd-eps{epsilon}") for epsilon in (1, 3, 7)]
    assert [arm.defence["epsilon"] for arm in private] == [1, 3, 7]
    assert len({repr(arm.recipe() | {"defence": arm.defence | {"epsilon": None}}) for arm in private}) == 1


def test_documented_figures_are_of_metrics_that_are_measured_and_could_be_counted():
    for model in STUDY.documented.models.values():
        assert model.keys() <= {*METRICS, "test_accuracy", "kept"}
        labels = model["label_accuracy"] * STUDY.documented.images
        assert labels == pytest.approx(round(labels), abs=0.01)
    assert STUDY.arm("full", STUDY.roles.ordinary).documented == "ordinary"
    assert STUDY.arm("full", STUDY.roles.suppressed).documented == "suppressed"


def test_every_arm_and_attack_is_run_by_some_profile():
    """What is in no profile would be checked by nothing."""
    planned = {run.factors["arm"] for profile in STUDY.profiles for run in runs_of(STUDY, profile).values()}
    assert planned == {*STUDY.arms, NONE}
    run = {run.factors.get("attack") for profile in STUDY.profiles for run in runs_of(STUDY, profile).values()}
    assert run - {None} == {*STUDY.attacks}


def test_what_was_published_is_read_as_it_was_whatever_attacks_there_are_today(tmp_path):
    """Its own settings of attacks that have since changed, and kinds that are no more."""
    text = (FOLDER / "study.yaml").read_text("utf-8")
    old = text.replace("shuffled: true}}", "shuffled: true, gone: 3}}").replace("kind: ridge,", "kind: gone,")
    assert old.count("gone") == 2
    (tmp_path / "study.yaml").write_text(old, "utf-8")
    found = Study.of(tmp_path).variant("full", "ridge-shuffled")
    assert (found.kind, found.sees, found.settings) == ("gone", "features", {"shuffled": True, "gone": 3})
    with pytest.raises(SettingsError, match="attacks names 'gone'"):
        Study.load(tmp_path / "study.yaml")
    # What a folder of results has made since, it was asked for by today's.
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "train-baseline-seed0.npz").touch()
    assert Study.of(tmp_path) == Study.load()
    (tmp_path / "study.yaml").write_text("arms: {}\n", "utf-8")
    assert Study.of(tmp_path) == Study.load() == Study.of(tmp_path / "nowhere")


# What a job starts from


@pytest.mark.parametrize("profile", STUDY.profiles)
def test_what_a_job_needs_is_asked_for_too_and_nothing_needs_itself(profile):
    jobs = {str(job): job for job in STUDY.jobs(profile)}
    needs = {name: {str(each): each for each in STUDY.needs(profile, job)} for name, job in jobs.items()}
    assert all(jobs[name] == each for earlier in needs.values() for name, each in earlier.items())
    TopologicalSorter(needs).prepare()  # raises if there is a circle


def test_the_published_runs_were_made_from_the_networks_that_their_jobs_need():
    published, needs = published_runs(ROOT / PUBLISHED), {}
    for job in STUDY.jobs("full"):
        if job.kind != "coins" and all(run.name in published for run in job.runs):
            needs[str(job)] = {published[str(each)].checkpoint["sha256"] for each in STUDY.needs("full", job)}
            assert all({*published[run.name].networks.values()} == needs[str(job)] for run in job.runs), job
    assert {len(networks) for networks in needs.values()} >= {0, 1, 2, 4}


def test_an_attack_by_a_network_of_another_seed_needs_that_and_a_game_the_same_game_of_earlier_arms():
    jobs = {str(job): job for job in STUDY.jobs("full")}

    def needs(name):
        return [str(job) for job in STUDY.needs("full", jobs[name])]

    judges = [f"train-{judge}" for judge in STUDY.judges().values()]
    assert needs(f"attack-{SWEPT}-seed2-otherseed") == [f"train-{SWEPT}-seed2", f"train-{SWEPT}-seed3", *judges]
    assert needs("coins-canaries-magnitude-finetuned") == ["coins-canaries-dense-sgd"]
    assert needs("coins-canaries-none") == []


# Games of membership


def test_a_game_is_one_job_an_arm_with_a_run_a_model_and_one_an_attack_on_it():
    jobs = {str(job): job for job in STUDY.jobs("full") if job.kind == "coins"}
    counts = {name: len({run.seed for run in job.runs}) for name, job in jobs.items()}
    assert counts["coins-canaries-dense-sgd"] == counts["coins-canaries-suppressed-example"] == 32
    assert counts["coins-canaries-none"] == 32  # the same draws
    of_first = [run.name for run in jobs["coins-canaries-dense-sgd"].runs if run.seed == 0]
    assert of_first == ["coin-canaries-dense-sgd-seed0"] + [
        f"attack-{attack}-canaries-dense-sgd-seed0" for attack in ("loss", "lira", "rmia", "lira-shuffled", "ridge-fc1")
    ]
    blind = jobs["coins-canaries-none"].runs
    assert {run.factors["attack"] for run in blind} == {"blind"} and {run.kind for run in blind} == {"attack"}
    run = jobs["coins-canaries-suppressed-example"].runs[2]
    assert run.factors == {"arm": SWEPT, "sparse_end": 0.95, "attack": "lira", "game": "canaries"}
    assert run.settings["settings"]["shadows"] == 0 and run.settings["models"] == 32
    assert run.settings["game"]["canaries"] == 500 and STUDY.game("smoke", "canaries").canaries == 100
    assert not [job for job in STUDY.jobs("quick") if job.kind == "coins"]


def test_any_arm_can_play_with_few_models():
    job = STUDY.playing("quick", "canaries", STUDY.model(SWEPT, 0, {"sparse_end": 0.5}))
    assert str(job) == f"coins-canaries-{SWEPT}@0.5" and {run.seed for run in job.runs} == {0, 1, 2, 3, 4}


def change_games(games):
    return lambda content: content["profiles"]["smoke"].update(games=games)


@pytest.mark.parametrize(
    ("games", "message"),
    [
        ({"nope": {"baseline": 8}}, r"profiles\.smoke\.games names 'nope'; allowed are canaries"),
        ({"canaries": {"nope": 8}}, r"profiles\.smoke\.games\.canaries names 'nope'; allowed are baseline"),
        ({"canaries": {"baseline": 4}}, "nput should be greater than or equal to 5"),
        ({"canaries": {"dense-sgd": 8, SWEPT: 7, "accuracy-matched": 8}}, f"has 8 of accuracy-matched, .* on {SWEPT}"),
    ],
)
def test_a_game_that_cannot_be_played_is_refused(games, message):
    with pytest.raises(ValueError, match=message):
        with_changes(change_games(games))


def test_an_arm_that_is_defended_after_its_training_plays_no_game():
    with pytest.raises(SettingsError, match="arm feature-noise differs in what it releases, not in its training"):
        STUDY.playing("quick", "canaries", Model("feature-noise", 0))


def test_what_sees_images_alone_is_for_games():
    with pytest.raises(ValueError, match=r"profiles\.smoke\.attacks names 'blind'; allowed are black"):
        with_changes(lambda content: content["profiles"]["smoke"].update(attacks=["blind"]))
    with pytest.raises(ValueError, match=r"games\.canaries\.attacks names 'dlg'; allowed are class-mean, nearest"):
        with_changes(lambda content: content["games"]["canaries"].update(attacks=["dlg"]))
