"""The page in words: a paragraph for a visitor, and what the terms mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sparsecert.designs.design import design_settings
from sparsecert.designs.threats import Threat
from sparsecert.evaluation import Evaluation

_RULES = {
    "majority": "the class that most ballots rank first wins, and its share certifies it",
    "margin": "the class that most ballots rank first wins, and its lead over the runner-up "
    "certifies it",
    "plurality": "the class that most ballots rank first wins",
    "run-off": "of the two classes that most ballots rank first, the one that more ballots rank "
    "above the other wins",
    "pairwise": "the class that more than half of the ballots rank above each other class wins, "
    "class against class",
}
_WINNERS = {
    "run-off": "of the two with the most votes, the one that more votes prefer wins",
    "pairwise": "the class that most votes prefer to each other class wins",
}
_ENCODINGS = {
    "two-channel": "a value v is shown to the network as the pair (v, 1 - v), and what is hidden "
    "as (0, 0), which is no value at all",
    "mean": "what is hidden is shown to the network as the average of the training data",
    "none": "nothing is hidden",
}
_ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
_LEVELS = (
    "Whoever changes a {one} reaches only the votes that see it",
    "Whoever changes a {one} sways no more than a known share of the votes",
)


def inputs_of(unit: str) -> str:
    """What has these units, in the plural: "images" have "pixels", "rows" have "features"."""
    return "rows" if unit in ("features", "groups") else "images"


def counted(number: int, unit: str) -> str:
    """A number of units: "1 pixel", "2 pixels"."""
    return f"{number:,} {one_of(unit) if number == 1 else unit}"


def one_of(plural: str) -> str:
    """The singular."""
    return plural.removesuffix("s")


def withstands(radius: int, unit: str, threat: Threat | None = None) -> str:
    """What a certified radius, -1 for none, says; by default of sparse changes."""
    if radius < 1:
        return "unchanged only" if radius == 0 else "nothing"
    if threat is not None and threat.sizes:
        return f"up to {threat.kind} {threat.name_of(radius)}"
    return f"up to {counted(radius, unit)}"


def share(value: float, digits: int = 2) -> str:
    """A share in percent."""
    return f"{100 * value:.{digits}f} %"


def paragraph(
    design: Any, rule: str, evaluation: Evaluation, unit: str, threat: Threat, top: int
) -> str:
    """What the page says, for who has not heard of any of it.

    Args:
        design: of the run.
        rule: of its record.
        evaluation: by that rule.
        unit: what a radius counts.
        threat: what certificates are against.
        top: K, where they are about the top K classes.
    """
    inputs, one = inputs_of(unit), one_of(unit)
    right = "classified correctly" if top == 1 else f"classified among the top {top} correctly"
    number = f"{evaluation.num_images:,} test {inputs}"
    what = "the answer can" if top == 1 else f"the correct class can leave the top {top}"
    correct = f"{share(evaluation.accuracy.value, 1)} are {right}"
    if threat.sizes:
        withstood = " and ".join(
            f"{share(estimate.value, 1)} against {threat.name_of(level)}"
            for level, estimate in enumerate(evaluation.certified_accuracy)
            if level
        )
        return (
            f"{_how_it_votes(design, rule, unit)} Whoever changes one {threat.kind} reaches only "
            f"the votes that see any of it. So for each {one_of(inputs)} it can be proved that no "
            f"change within one {threat.kind}, wherever it lies, alters the answer. Of {number} "
            f"{correct}, and proved to stay so are {withstood or 'none'}."
        )
    level = _LEVELS[not design.retains].format(one=one)
    told = (
        f"{_how_it_votes(design, rule, unit)} {level}. So for each {one_of(inputs)} it can be "
        f"proved how many {unit} may change, to any values, before {what}: its certified radius. "
        f"Of {number} {correct}"
    )
    if len(evaluation.certified_accuracy) < 2:
        return f"{told}, and none is certified against a single changed {one}."
    certified = share(evaluation.certified_accuracy[1].value, 1)
    told += f", and {certified} are proved to stay so whatever becomes of any 1 {one}"
    if not evaluation.median:
        return f"{told}."
    return f"{told}; half of them withstand any change of {counted(evaluation.median, unit)}."


def _how_it_votes(design: Any, rule: str, unit: str) -> str:
    """The vote, by the kind of design, and by the rule."""
    inputs, settings = inputs_of(unit), design_settings(design)
    one, d = one_of(inputs), counted(settings["num_features"], unit)
    begin = f"A neural network sees each {one} again and again, every time"
    winner = _WINNERS.get(rule, "the class with the most votes wins")
    wins = f"and votes for a class; {winner}."
    if "num_retained" in settings:
        return f"{begin} only {settings['num_retained']:,} of its {d}, drawn at random, {wins}"
    if "num_sets" in settings:
        copies = settings["copies"]
        times = "" if copies == 1 else f", in {copies} different ways"
        return (
            f"The {d} of each {one} are dealt out to {settings['num_sets']:,} sets{times}. Neural "
            f"networks that see one set each vote for a class; {winner}."
        )
    if "layout" in settings:
        kind = {"columns": "band", "rows": "band"}.get(settings["layout"].split(":")[0], "part")
        return f"{begin} only one {kind} of it, wherever that can lie, {wins}"
    return f"{begin} changed at random ({design}), {wins}"


def glossary(
    record: Mapping[str, Any], rules: Iterable[str], design: Any, unit: str
) -> list[tuple[str, str]]:
    """Each term of the page, and what it means.

    Args:
        record: that the page is of.
        rules: that it shows.
        design: of the run.
        unit: what a radius counts.
    """
    inputs, sampled = inputs_of(unit), bool(record["alpha"])
    view = "view of it" if design.retains else "noisy copy of it"
    terms = [
        ("base classifier", f"the neural network that sees one {view} at a time"),
        ("ballot", f"what the base classifier says of one {view}: the classes in order"),
    ]
    if "num_retained" in record:
        terms.append(("k", f"how many {unit} each view retains; the others are hidden"))
    terms += [(f"{rule} rule", _RULES[rule]) for rule in rules]
    terms += [
        (f"{record['encoding']} encoding", _ENCODINGS[record["encoding"]]),
        ("certified radius", f"a number of {unit}: changes of so many cannot change the answer"),
        (
            "certified accuracy at rho",
            f"the share of {inputs} whose correct class is certified against every change of rho "
            f"{unit}",
        ),
        (
            "median certified robustness",
            "the largest rho whose certified accuracy is one half or more; N/A if there is none",
        ),
    ]
    if sampled:
        terms += [
            ("abstains", "the vote is too close to call"),
            ("n₀, n", "how many ballots choose the class, and how many estimate its share"),
            (
                _ALPHA,
                "the probability that a certificate, or an answer, is wrong",
            ),
        ]
    return terms
