"""`sparsecert explore` up to the page, which `tests/browser` looks at."""

from __future__ import annotations

import importlib.util
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsecert.cli import measuring
from sparsecert.errors import InputError
from sparsecert.explore import serve
from sparsecert.explore.session import Settings
from sparsecert.explore.subject import Subject
from tests.helpers.commands import Fails, Output, run

Served = list[tuple[Subject, Settings, str, int]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """What would be served."""
    calls: Served = []

    def record(subject: Subject, settings: Settings, host: str, port: int, ready: Any) -> None:
        calls.append((subject, settings, host, port))
        ready(f"http://{host}:{port}/")

    monkeypatch.setattr(serve, "require_gradio", lambda: None)
    monkeypatch.setattr(serve, "serve", record)
    return calls


def test_a_run_is_served_here(digits_run: Path, served: Served, output: Output) -> None:
    run("explore", digits_run, "--num-samples", 500)
    ((subject, settings, *where),) = served
    assert subject.run.path == digits_run
    assert settings == Settings(12, 500)
    assert where == ["127.0.0.1", 7860]
    assert "the page is at http://127.0.0.1:7860/ until you press Ctrl-C" in output()


def test_it_can_be_opened(
    digits_run: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    keep: Callable[[str], None] = opened.append
    monkeypatch.setattr(webbrowser, "open", keep)
    run("explore", digits_run, "--open", "--host", "0.0.0.0", "--port", 81)
    assert opened == ["http://0.0.0.0:81/"]


def test_without_a_run_that_of_the_demo_is_made(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measuring, "DEMO_EPOCHS", 1)
    for _ in range(2):
        run("explore")
    assert [subject.run.path for subject, *_ in served] == [measuring.DEMO_PATH] * 2
    assert served[0][0].design.num_retained == measuring.DEMO_RETAINED


def test_gradio_is_asked_for(
    digits_run: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fails("pip install 'sparsecert[app]'", "explore", digits_run)


def test_bad_options_end_in_a_sentence(digits_run: Path, served: Served, fails: Fails) -> None:
    fails("expected num_samples to be at least 1", "explore", digits_run, "--num-samples", 0)
    fails("is not a run folder", "explore", digits_run.parent)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1, port {port}"):
            serve.listening("127.0.0.1", port)
    with pytest.raises(InputError, match="expected a port from 0 to 65535"):
        serve.listening("127.0.0.1", 99_999)
    with pytest.raises(InputError, match="cannot listen at nowhere"):
        serve.listening("nowhere.invalid", 0)


def test_addresses_of_both_kinds() -> None:
    with serve.listening("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
