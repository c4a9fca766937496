"""The `sparsecert` command: train, predict, certify, classify, attack, report, info and others.

Commands parse, call and print; what they do is in `procedures`, `runs`, `records` and the other
folders. They import what they need when they are called, so that --help does not wait for torch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Literal

import cyclopts

from sparsecert._version import __version__
from sparsecert.cli.attacking import attack_command
from sparsecert.cli.classifying import classify_command
from sparsecert.cli.exploring import explore_command
from sparsecert.cli.measuring import (
    base_command,
    certify_command,
    demo_command,
    predict_command,
)
from sparsecert.cli.options import parse, print_error
from sparsecert.cli.sharing import import_command, push_command
from sparsecert.cli.showing import (
    info_command,
    merge_command,
    report_command,
    reproduce_command,
)
from sparsecert.cli.submitting import submission_command, verify_command
from sparsecert.cli.training import train_command
from sparsecert.errors import InputError, RunFolderError

app = cyclopts.App(
    name="sparsecert",
    help="Provable robustness of classifiers against sparse (L0) attacks.",
    version=__version__,
    default_parameter=cyclopts.Parameter(converter=parse),
    suppress_keyboard_interrupt=False,
)
app.command(train_command, name="train")
app.command(certify_command, name="certify")
app.command(predict_command, name="predict")
app.command(base_command, name="base")
app.command(classify_command, name="classify")
app.command(attack_command, name="attack")
app.command(merge_command, name="merge")
app.command(explore_command, name="explore")
app.command(report_command, name="report")
app.command(info_command, name="info")
app.command(push_command, name="push")
app.command(import_command, name="import")
app.command(submission_command, name="submission")
app.command(verify_command, name="verify")
app.command(reproduce_command, name="reproduce")
app.command(demo_command, name="demo")


@app.command
def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print what makes a shell complete commands and options.

    Args:
        shell: whose language; for bash: source <(sparsecert completion bash).
    """
    print(app.generate_completion(prog_name="sparsecert", shell=shell))


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does: what is finished is stored first."""


def main(words: Sequence[str] | None = None) -> None:
    """Run a command line; a problem at the border ends in one sentence and exit status 2.

    Args:
        words: the arguments; the process's own by default.
    """
    warnings.showwarning = _show_warning
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        app(sys.argv[1:] if words is None else words, result_action="return_value")
    except (InputError, RunFolderError) as error:
        print_error(f"error: {error}", style="red")
        sys.exit(2)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        print_error(f"error: {error}", style="red")
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print_error("stopped; repeat the command to go on")
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT))


def _terminate(*_: object) -> None:
    raise _Terminated


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print_error(f"warning: {message}", style="yellow")
