"""Attacks by name. Each enters itself where it is defined, and says what it sees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from suppress_privacy.checks import checked, keywords

Sees = Literal["nothing", "features", "gallery", "gradients", "outputs", "images"]


@dataclass(frozen=True)
class Attack:
    """An attack: its name, what it sees, and the function that runs it.

    By what it sees, `run` is called with::

        nothing     a NothingView     -> Reconstruction
        features    a FeatureView     -> Reconstruction
        gallery     a GalleryView     -> distances, float32 [N, P], the least of a row being its answer
        gradients   a list of GradientView, one a batch, all of one network     -> Reconstruction
        outputs     a MembershipView or a CoinView  -> scores, float64 [Q]
        images      a BlindView       -> scores, float64 [Q]

    then with `seed` and its own settings by keyword.

    Examples:
        >>> one = ATTACKS["ridge"]
        >>> one.sees, one.settings({"shuffled": False})
        ('features', {'shuffled': False})
    """

    name: str
    sees: Sees
    run: Callable[..., Any]

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings to run with: those given, checked, over the attack's own defaults.

        Raises:
            TypeError, ValueError: one is missing, unknown, or out of its bounds.
        """
        return keywords(self.run, given, apart=("seed",))


ATTACKS: dict[str, Attack] = {}
Run = TypeVar("Run", bound=Callable[..., Any])


@checked
def attack(name: str, *, sees: Sees) -> Callable[[Run], Run]:
    """Enter a function into `ATTACKS`; its arguments are checked by their annotations from then on::

        @attack("ridge", sees="features")
        def ridge(view: FeatureView, *, seed: Seed, shuffled: bool) -> Reconstruction: ...

    Raises:
        ValueError: the name is taken, or nobody can see that.

    Examples:
        >>> from suppress_privacy.attacks.views import NothingView, Reconstruction
        >>> @attack("half-grey", sees="nothing")
        ... def half_grey(view, *, seed):
        ...     return Reconstruction(np.full((view.count, *view.auxiliary.shape[1:]), 0.5, np.float32))
        >>> float(ATTACKS.pop("half-grey").run(NothingView(2, known, known_labels), seed=0).images.mean())
        0.5
    """
    if name in ATTACKS:
        raise ValueError(f"name is {name!r}, an attack of {ATTACKS[name].run.__module__} already: take another.")

    def entered(function: Run) -> Run:
        run = checked(function)
        ATTACKS[name] = Attack(name, sees, run)
        return run

    return entered
