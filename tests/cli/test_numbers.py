"""Numbers as they are typed, and options that would be passed over in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparsecert.errors import InputError
from tests.helpers.commands import record, run
from tests.helpers.training import trained_by_name


@pytest.mark.parametrize("words", [("--limit", "2.7"), ("--seed", "inf"), ("--limit", "1e999999")])
def test_a_number_that_is_no_integer_is_not_rounded(
    words: tuple[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run("certify", folder, *words)
    assert end.value.code != 0
    assert f'{words[0]}: unable to convert "{words[1]}"' in " ".join(
        capsys.readouterr().err.replace("│", "").split()
    )
    with pytest.raises(SystemExit):
        run("train", "--data", "digits", "--retained", "4.9", "--out", folder.parent / "new")
    assert not (folder.parent / "new").exists()


def test_integers_may_be_written_in_short(folder: Path) -> None:
    run("certify", folder, "--limit", "2.0", "--num-samples", "2e2", "--num-selection", "0x28")
    found = record(folder)
    assert (found["num_images"], found["num_samples"], found["num_selection"]) == (2, 200, 40)


@pytest.mark.parametrize("wrong", [{"epochs": 1.5}, {"epochs": "1"}, {"batch_size": 3.5}])
@pytest.mark.usefixtures("unchecked")
def test_parts_of_epochs_are_refused_in_python_too(wrong: dict[str, Any], tmp_path: Path) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"expected {name} to be an integer"):
        trained_by_name(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
