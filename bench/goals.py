"""The ratios that are to be reached, each beside what was measured. No I/O."""

from collections.abc import Mapping, Sequence

import msgspec

from bench.medians import Figure, ratios


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A bound for `numerator` ÷ `denominator`, both names of contenders."""

    what: str
    numerator: str
    denominator: str
    at_least: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A figure beside its bound."""

    what: str
    measured: Figure
    bound: str
    is_reached: bool


RATES = (
    Goal(
        what="redirector, warm ÷ Nginx",
        numerator="redirector",
        denominator="nginx",
        at_least=0.75,
    ),
    Goal(
        what="through the gateway ÷ the gateway before a static Nginx",
        numerator="gateway",
        denominator="gateway-static",
        at_least=0.85,
    ),
    Goal(
        what="through the gateway ÷ Flask + Gunicorn + Peewee",
        numerator="gateway",
        denominator="flask",
        at_least=15,
    ),
)


def judge_rates(goals: Sequence[Goal], rates: Mapping[str, Sequence[float]]) -> list[Verdict]:
    """Return a verdict for each goal of which both contenders ran; rates are round by round."""
    verdicts = []
    for goal in goals:
        if goal.numerator in rates and goal.denominator in rates:
            measured = ratios(rates[goal.numerator], rates[goal.denominator])
            verdicts.append(at_least(goal.what, measured, goal.at_least))
    return verdicts


def at_least(what: str, measured: Figure, bound: float) -> Verdict:
    """Judge a figure that is to be large."""
    return Verdict(
        what=what, measured=measured, bound=f"≥ {bound:g}", is_reached=measured.median >= bound
    )


def at_most(what: str, measured: Figure, bound: float) -> Verdict:
    """Judge a figure that is to be small."""
    return Verdict(
        what=what, measured=measured, bound=f"≤ {bound:g}", is_reached=measured.median <= bound
    )
