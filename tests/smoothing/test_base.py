"""Base classifiers of any kind: each votes as the torch module that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Perceptron
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.streams import Stage
from tests.helpers.classifiers import images, perceptron
from tests.helpers.commands import printed_by

ABLATION, CLASSES, N = sc.UniformAblation(16, 5), 3, 400
MODEL = perceptron()
WEIGHTS = [p.detach().numpy() for p in MODEL.parameters()]


class Wrapped(nn.Module):
    """A module that gives its logits in one way or another."""

    def __init__(self, give: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.model, self.give = perceptron(), give

    def forward(self, encoded: Tensor) -> object:
        return self.give(self.model(encoded))


class Normalising(nn.Module):
    """As networks for whole images come: with a normalisation of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = perceptron()
        self.shift = nn.Buffer(torch.full((1, 2, 1, 1), 0.25))

    def forward(self, encoded: Tensor) -> Tensor:
        logits: Tensor = self.model(encoded - self.shift + self.shift)
        return logits


def numpy_function(encoded: np.ndarray) -> Any:
    rows = encoded.astype(np.float32).reshape(len(encoded), -1)
    return np.tanh(rows @ WEIGHTS[0].T + WEIGHTS[1]) @ WEIGHTS[2].T + WEIGHTS[3]


def onnx_session(number: int = onnx.TensorProto.FLOAT) -> onnxruntime.InferenceSession:
    helper, names = onnx.helper, ("w1", "b1", "w2", "b2")
    dtype = helper.tensor_dtype_to_np_dtype(number)
    nodes = [
        helper.make_node("Flatten", ["encoded"], ["rows"]),
        helper.make_node("Gemm", ["rows", "w1", "b1"], ["hidden"], transB=1),
        helper.make_node("Tanh", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("encoded", number, ["n", 2, 4, 4])],
        [helper.make_tensor_value_info("logits", number, ["n", 3])],
        [
            onnx.numpy_helper.from_array(w.astype(dtype), name)
            for name, w in zip(names, WEIGHTS, strict=True)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString())


def exported() -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=4096)
    return torch.export.export(MODEL, (torch.rand(8, 2, 4, 4),), dynamic_shapes=({0: batch},))


def traced() -> nn.Module:
    module: nn.Module = torch.jit.trace(MODEL, torch.rand(8, 2, 4, 4))  # type: ignore[no-untyped-call]
    return module


SAME: dict[str, Callable[[], object]] = {
    "torch function": lambda: lambda encoded: MODEL(encoded),
    "object with logits": lambda: Wrapped(lambda logits: SimpleNamespace(logits=logits)),
    "tuple": lambda: Wrapped(lambda logits: (logits, None)),
    "dict": lambda: Wrapped(lambda logits: {"loss": None, "logits": logits}),
    "dict of one": lambda: Wrapped(lambda logits: {"scores": logits}),
    "module that gives an array": lambda: Wrapped(lambda logits: logits.numpy()),
    "probabilities": lambda: Wrapped(lambda logits: logits.softmax(dim=1)),
    "normalising": Normalising,
    "DataParallel": lambda: nn.DataParallel(perceptron()),
    "scripted": lambda: torch.jit.script(perceptron()),
    "traced": traced,
    "exported": exported,
    "NumPy function": lambda: numpy_function,
    "ONNX Runtime": onnx_session,
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_gives_the_certificates_of_the_module(kind: str) -> None:
    def certified(base: object, sampling: str = "fixed") -> sc.Certification:
        smoothed = sc.SmoothedClassifier(base, ABLATION, CLASSES)
        return smoothed.certify(images(), 50, N, rule="pairwise", sampling=sampling, seed=3)

    expected, found = certified(MODEL), certified(SAME[kind]())
    np.testing.assert_array_equal(found.tally.head_to_head, expected.tally.head_to_head)
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.radius, expected.radius)
    family = sc.strided_partition(16, 4)
    ballots = [sc.FixedSmoothedClassifier(b, family, 3) for b in (MODEL, SAME[kind]())]
    one, other = (b.certify(images(), "pairwise") for b in ballots)
    np.testing.assert_array_equal(one.radius, other.radius)
    np.testing.assert_array_equal(one.label, other.label)


JAX = """
import jax
import numpy as np
import sparsecert as sc
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 3))
x = torch.rand(6, 1, 4, 4)
weights = [p.detach().numpy() for p in model.parameters()]

@jax.jit
def function(encoded):
    rows = encoded.reshape(len(encoded), -1)
    return jax.numpy.tanh(rows @ weights[0].T + weights[1]) @ weights[2].T + weights[3]

one, other = (
    sc.SmoothedClassifier(base, sc.UniformAblation(16, 5), 3).certify(
        x, 50, 400, rule="pairwise", seed=3
    )
    for base in (model, function)
)
np.testing.assert_array_equal(one.tally.head_to_head, other.tally.head_to_head)
np.testing.assert_array_equal(one.radius, other.radius)
print("the same")
"""


def test_jax_functions_give_the_certificates_of_the_module(tmp_path: Path) -> None:
    """In a process of its own, as others must not be forked once JAX has started its threads."""
    script = tmp_path / "script.py"
    script.write_text(JAX)
    assert printed_by(script) == "the same\n"


@pytest.mark.parametrize("layout", [torch.float64, torch.bfloat16, torch.channels_last])
def test_modules_keep_their_own_format(layout: Any) -> None:
    base = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    kind: Any = "memory_format" if isinstance(layout, torch.memory_format) else "dtype"
    base = base.to(**{kind: layout})
    found = sc.SmoothedClassifier(base, ABLATION, CLASSES).certify(images(), 50, N)
    assert (found.tally.num_samples == N).all()


def test_a_compiled_module_votes() -> None:
    compiled = torch.compile(perceptron(), backend="eager")
    found, expected = (
        sc.SmoothedClassifier(base, ABLATION, CLASSES).tally(images(), N, Stage.ESTIMATION, seed=1)
        for base in (compiled, MODEL)
    )
    np.testing.assert_array_equal(found.first_choice, expected.first_choice)


def test_half_precision_sessions_get_half_precision() -> None:
    session = onnx_session(onnx.TensorProto.FLOAT16)
    found = sc.SmoothedClassifier(session, ABLATION, CLASSES).predict(images(), N)
    assert (found.num_samples == N).all()


def ablated_rows(labels: Any) -> tuple[Any, Any]:
    """Encoded vectors and their classes: which third of the retained features is brightest."""
    x = torch.rand(600, 16, generator=torch.Generator().manual_seed(5))
    encoded = sc.TwoChannelEncoding()(x, torch.rand(x.shape) > 0.5).numpy()
    return encoded, np.asarray(labels)[
        encoded[:, :15].reshape(600, 3, 5).sum(axis=2).argmax(axis=1)
    ]


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "forest": lambda: RandomForestClassifier(10, random_state=0),
    "perceptron": lambda: MLPClassifier((8,), max_iter=2_000, random_state=0),
    "boosting": lambda: xgboost.XGBClassifier(n_estimators=5, n_jobs=1),
    "classes only": lambda: Perceptron(random_state=0),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_estimators_vote(kind: str) -> None:
    names = [0, 1, 2] if kind == "boosting" else ["cat", "dog", "owl"]
    rows, labels = ablated_rows(names)
    estimator = ESTIMATORS[kind]().fit(rows, labels)
    smoothed = sc.SmoothedClassifier(estimator, ABLATION, CLASSES)
    x = images(shape=(16,))
    mask = torch.rand(50, 16, generator=torch.Generator().manual_seed(6)) > 0.5
    answers = smoothed.base_answers(x[:1], mask)
    predicted = estimator.predict(smoothed.encoding(x[:1], mask).numpy())
    assert [names[answer] for answer in answers] == list(predicted)
    for sampling in ("fixed", "sequential"):
        found = smoothed.certify(x, 50, N, sampling=sampling)
        assert (found.tally.head_to_head is None) == (kind == "classes only")
        assert found.label.max() <= 2
    assert smoothed.predict(x, N).num_samples.tolist() == [N] * len(x)


def test_a_class_that_an_estimator_was_never_shown_comes_last() -> None:
    rows, labels = ablated_rows([0, 2, 2])
    estimator = RandomForestClassifier(5, random_state=0).fit(rows, labels)
    tally = sc.SmoothedClassifier(estimator, ABLATION, CLASSES).tally(
        images(shape=(16,)), 100, Stage.ESTIMATION
    )
    assert (tally.first_choice[:, 1] == 0).all()
    assert tally.head_to_head is not None
    assert (tally.head_to_head[:, 1] == 0).all()


def classes_only(encoded: Tensor) -> Tensor:
    logits: Tensor = MODEL(encoded)
    return logits.argmax(dim=1)


@pytest.mark.parametrize("num_classes", [3, 40])
def test_pairwise_is_refused_where_only_classes_come_out(num_classes: int) -> None:
    """Nothing is known of the classes below the first choice."""
    smoothed = sc.SmoothedClassifier(classes_only, ABLATION, num_classes)
    refused = pytest.raises(
        sc.InputError, match="scores every class, which the rule pairwise needs"
    )
    for call in (smoothed.certify, smoothed.predict):
        with refused:
            call(images(), rule="pairwise")
    family = sc.FixedSmoothedClassifier(classes_only, sc.strided_partition(16, 4), num_classes)
    with refused:
        family.certify(images(), "pairwise")
    whole = sc.SmoothedClassifier(MODEL, ABLATION, CLASSES)
    for rule in ("majority", "margin"):
        for sampling in ("fixed", "sequential"):
            options: Any = {"rule": rule, "sampling": sampling, "seed": 1}
            found = smoothed.certify(images(), 50, N, **options)
            expected = whole.certify(images(), 50, N, **options)
            np.testing.assert_array_equal(found.radius, expected.radius)
            assert found.tally.head_to_head is None
    plain = sc.FixedSmoothedClassifier(MODEL, sc.strided_partition(16, 4), CLASSES)
    np.testing.assert_array_equal(family.certify(images()).radius, plain.certify(images()).radius)


def test_a_transformer_with_random_weights_votes() -> None:
    settings: Any = {"num_labels": 3}
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=8, patch_size=4, num_channels=2, **settings,
    )  # fmt: skip
    base = transformers.ViTForImageClassification(config)
    smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(64, 9), CLASSES)
    found = smoothed.certify(images(2, shape=(1, 8, 8)), 20, 100, rule="pairwise")
    assert found.tally.num_samples.tolist() == [100, 100]


def fails(encoded: Tensor) -> Tensor:
    raise ValueError("too hot")


def takes_nothing(encoded: Any) -> Any:
    return encoded.shape.no_such_thing


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        (None, "expected a base classifier that can be called .* got NoneType"),
        (lambda encoded: None, r"to give a tensor or an array of numbers, .* got a NoneType"),
        (lambda encoded: {"a": encoded, "b": encoded}, "got a dict with 'a', 'b'"),
        (lambda encoded: ["cat"] * len(encoded), "got a list"),
        (lambda encoded: torch.full((len(encoded),), 3), "classes from 0 to 2, got 3 to 3"),
        (
            lambda encoded: encoded.mean(dim=(1, 2, 3)),
            r"or classes of shape \(\d+,\), got \(\d+,\)",
        ),
        (fails, "failed on encoded inputs of shape .* with ValueError: too hot"),
        (takes_nothing, "takes neither a tensor .* nor a NumPy array .*no_such_thing"),
    ],
)
def test_what_is_no_base_classifier_gets_a_sentence(base: Any, sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        sc.SmoothedClassifier(base, ABLATION, CLASSES).certify(images(), 10, 100)


def test_estimators_of_other_classes_and_options_of_torch_get_a_sentence() -> None:
    estimator = RandomForestClassifier(2).fit(*ablated_rows(["cat", "dog", "owl"]))
    with pytest.raises(sc.InputError, match="fitted to 5 classes, got 3"):
        sc.SmoothedClassifier(estimator, ABLATION, 5)
    for options in ({"compile": True}, {"precision": "bfloat16"}):
        with pytest.raises(sc.InputError, match="for torch modules only"):
            sc.SmoothedClassifier(numpy_function, ABLATION, CLASSES, **options)
