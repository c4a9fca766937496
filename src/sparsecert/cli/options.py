"""Options that several commands have, and where they print."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, make_dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_type_hints

from cyclopts import Parameter, Token, convert
from rich.console import Console
from rich.text import Text

from sparsecert.designs.design import options
from sparsecert.designs.registry import DESIGNS
from sparsecert.errors import InputError
from sparsecert.theory.schedule import ALPHA, NUM_SAMPLES, NUM_SELECTION, Sampling


class _SafeConsole(Console):
    """Prints the names of paths, classes and data sets as they are, whoever chose them.

    They are no markup, and what a terminal would take for a command is shown, not sent.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text on its way to the terminal, the cells of tables too."""
        return super().render_str("".join(map(_shown, text)), **options)


def _shown(character: str) -> str:
    """The character; of one that controls the terminal, or turns the line around, the number."""
    if character in "\n\t" or unicodedata.category(character)[0] != "C":
        return character
    return character.encode("unicode_escape").decode()


console = _SafeConsole()
_LARGEST = 10**40  # more than seeds are; 1e999999999 would take all memory

if TYPE_CHECKING:  # commands import what they need, so that --help does not wait for torch
    from sparsecert.runs.folder import RunFolder


def _design_options() -> dict[str, tuple[Any, str, list[str]]]:
    """Type, flag and help of each setting of a design; what several have stands there once."""
    found: dict[str, tuple[Any, str, list[str]]] = {}
    for design in DESIGNS.values():
        for name, (flag, words, _) in options(design).items():
            kind = get_type_hints(design)[name]
            found.setdefault(name, (kind, flag, []))[2].append(f"{design.name}: {words}")
    return found


if TYPE_CHECKING:
    from sparsecert.data import Shard
    from sparsecert.procedures.execution import Execution
    from sparsecert.procedures.procedure import Procedure

    DesignName: TypeAlias = str
    RuleName: TypeAlias = str
    DesignOptions = Any
else:
    # What there is to choose from, and every setting, is what designs say of themselves.
    DesignName = Literal[tuple(DESIGNS)]
    RuleName = Literal[tuple(dict.fromkeys(r for d in DESIGNS.values() for r in d.rules))]
    DesignOptions = Parameter(name="*")(
        make_dataclass(
            "DesignOptions",
            [
                (
                    name,
                    Annotated[kind | None, Parameter(name=f"--{flag}", help=" ".join(words))],
                    None,
                )
                for name, (kind, flag, words) in _design_options().items()
            ],
            namespace={"__module__": __name__},
            frozen=True,
        )
    )

RunArgument = Annotated[
    Path,
    Parameter(
        help="Folder that `sparsecert train --out` wrote, or user/name or user/name@revision on "
        "the Hugging Face Hub."
    ),
]
DataOption = Annotated[
    str | None,
    Parameter(
        name="--data",
        help="Data set to evaluate on, by name or path; by default the run's own test split.",
    ),
]
LimitOption = Annotated[
    int | None,
    Parameter(help="Number of images, spread evenly over the test split, of all its classes."),
]
ShardOption = Annotated[
    str | None,
    Parameter(
        help="i/N: only the i-th of N shares of these images, each as spread as they are; it goes "
        "to a run folder of its own, RUN/shards/i-of-N, which `sparsecert merge` joins."
    ),
]
OutOption = Annotated[
    Path | None, Parameter(help="Run folder to write to, or to resume, instead of that.")
]
RuleOption = Annotated[
    RuleName | None,
    Parameter(
        help="majority (the default), margin or pairwise for random ablations; plurality (the "
        "default), run-off or pairwise for a fixed family."
    ),
]
CompileOption = Annotated[
    bool, Parameter(help="Compile the network first; pays on runs of many minutes.")
]
RecordOption = Annotated[
    Path | None,
    Parameter(
        help="Write the result as JSON to this file; - is standard output.",
        allow_leading_hyphen=True,
    ),
]
JsonOption = Annotated[
    bool, Parameter(help="Print the result as JSON instead of tables.", negative="")
]
AlphaOption = Annotated[float | None, Parameter(help=f"Error probability of each answer; {ALPHA}.")]
SamplesOption = Annotated[
    int | None, Parameter(help=f"n: ablations that predict, or estimate a share; {NUM_SAMPLES}.")
]
ThreatOption = Annotated[
    str | None,
    Parameter(
        help="fixed families: sparse (the default), patch:HxW or window:L, or several sizes as "
        "in patch:2x2,5x5."
    ),
]
AbstainOption = Annotated[
    float | Literal["best"] | None,
    Parameter(
        help="fixed families: a ballot prefers a class only if its probability is higher by "
        "more than this; best: what certifies most on the run's held-out training examples."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class PredictionOptions:
    """How a prediction is made; None stands for the default.

    Attributes:
        num_samples: n.
        sampling: how.
        alpha: error probability.
        rule: by which ballots are read.
        seed: of the random streams.
        abstain: by which margin a ballot must prefer a class.
    """

    num_samples: SamplesOption = None
    sampling: Annotated[
        Sampling | None,
        Parameter(help="sequential: stop where no more is to be expected; n is the most."),
    ] = None
    alpha: AlphaOption = None
    rule: RuleOption = None
    seed: int | None = None
    abstain: AbstainOption = None

    def procedure(self, run: RunFolder, execution: Execution | None = None) -> Procedure:
        """The procedure for a run; the `best` margin is looked for first."""
        from sparsecert.procedures.abstention import BEST, best_abstain
        from sparsecert.procedures.run import procedure_for

        settings = asdict(self)
        if self.abstain == BEST:
            settings["abstain"] = best_abstain(run, settings, execution)
        return procedure_for(run.config.design, **settings)


@Parameter(name="*")
@dataclass(frozen=True)
class CertificationOptions(PredictionOptions):
    """How a certificate is made.

    Attributes:
        num_selection: n0.
        threat: what is certified against.
        top: K.
        target: the radius that is to be decided.
    """

    num_selection: Annotated[
        int | None, Parameter(help=f"n0: ablations that choose the class; {NUM_SELECTION}.")
    ] = None
    threat: ThreatOption = None
    top: Annotated[
        int | None,
        Parameter(help="Certify that the correct class stays among the top K; 1 for the class."),
    ] = None
    target: Annotated[
        int | None,
        Parameter(
            help="sequential: stop each image once it is decided whether this radius is certified."
        ),
    ] = None


def parse(kind: Any, words: Sequence[Token]) -> Any:
    """A value as it was typed; an integer may be 1e4, and is never a rounded number.

    Raises:
        ValueError: for a word of another kind, which cyclopts tells with its option.
    """

    def single(inner: type, word: str) -> Any:
        if inner is not int:
            return convert(inner, [word])
        try:
            number = Decimal(word)
        except InvalidOperation:
            return int(word, 0)  # such as 0x10
        if number.is_finite() and number == number.to_integral_value() and abs(number) < _LARGEST:
            return int(number)
        raise ValueError(word)

    return convert(kind, words, converter=single)


def parse_shard(words: str | None) -> Shard | None:
    """The shard, if one is named."""
    from sparsecert.data import Shard

    return None if words is None else Shard.parse(words)


@Parameter(name="*")
@dataclass(frozen=True)
class ExecutionOptions:
    """Where images are worked on.

    Attributes:
        ray: the address of a Ray cluster; True for one that is started here.
        ray_cores: of each worker.
        ray_gpus: of each worker.
    """

    ray: Annotated[
        str | bool,
        Parameter(
            help="Work on a Ray cluster: at this address, or without one on one that is started "
            "on this machine.",
            negative="",
        ),
    ] = False
    ray_cores: Annotated[int | None, Parameter(help="--ray: cores of each worker; 1.")] = None
    ray_gpus: Annotated[
        float | None,
        Parameter(help="--ray: GPUs of each worker; 1 where there are any. 0.5: two share one."),
    ] = None

    def build(self, *, compile: bool = False) -> Execution:
        """The place.

        Raises:
            InputError: for options of the workers of a cluster without one.
        """
        from sparsecert.procedures.execution import LocalExecution
        from sparsecert.procedures.pool import RayExecution

        if self.ray is False:
            if self.ray_cores is not None or self.ray_gpus is not None:
                raise InputError("expected --ray with --ray-cores or --ray-gpus, got none")
            return LocalExecution(show_progress=True, compile=compile)
        return RayExecution(
            None if self.ray is True else self.ray,
            cores=1 if self.ray_cores is None else self.ray_cores,
            gpus=self.ray_gpus,
            show_progress=True,
            compile=compile,
        )


def print_error(sentence: str, style: str | None = None) -> None:
    """Print a sentence to standard error."""
    _SafeConsole(stderr=True, highlight=False).print(sentence, style=style, soft_wrap=True)


def own_run(run: Path) -> RunFolder:
    """The finished run of an argument, to be written to; of one on the Hub it says where."""
    from sparsecert.runs import hub

    own = hub.own_run(run)
    if own.path != run:
        print_error(f"votes and results of {run} are kept in {own.path}")
    return own


def announce(run: Path, dataset: str, hint: str = "") -> None:
    """Say what is going to be read where a file of the run decides that, and not the user.

    Args:
        run: the folder.
        dataset: that it names.
        hint: what to do about it.
    """
    from sparsecert.data.embedded import EMBEDDED

    if dataset not in EMBEDDED:
        print_error(f"reading the test split of {dataset}, as {run} says{hint}")


def announce_own_data(run: Path, dataset: str, chosen: str | None) -> None:
    """The same for a command that has --data, unless it was given."""
    if chosen is None:
        announce(run, dataset, "; --data chooses another")
