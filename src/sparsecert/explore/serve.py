"""Serving the hands-on page, to this machine unless told otherwise."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsecert.errors import InputError
from sparsecert.explore.session import Settings
from sparsecert.explore.subject import Subject

_FONTS = ("system-ui", "sans-serif")  # those of the visitor's machine


def serve(
    subject: Subject, settings: Settings, host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve the page of a run until the process is told to stop. Nothing is sent elsewhere.

    Args:
        subject: the run.
        settings: that the page begins with.
        host: address to listen at.
        port: of it; 0 for any that is free.
        ready: is called with the address of the page, once somebody listens there.

    Raises:
        InputError: where Gradio is not installed, or the address cannot be listened at.
    """
    require_gradio()
    import fastapi
    import gradio as gr
    import uvicorn

    from sparsecert.explore.page import build

    with listening(host, port) as listener:  # before the page is built, which takes a while
        app = gr.mount_gradio_app(
            fastapi.FastAPI(),
            build(subject, settings),
            path="/",
            footer_links=[],
            ssr_mode=False,
            theme=_theme(gr),
            css=(Path(__file__).parent / "page.css").read_text(encoding="utf-8"),
        )
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listener.getsockname()[1]}/")
        # Pages that are open keep a connection; they are not waited for.
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


def _theme(gr: Any) -> Any:
    """Gradio's, with fonts of the visitor's machine, and buttons whose words can be read."""
    theme = gr.themes.Default(primary_hue="indigo", font=_FONTS, font_mono=_FONTS)
    fills = ("button_primary_background_fill", "button_primary_background_fill_dark")
    return theme.set(**dict.fromkeys(fills, "*primary_600"))


def require_gradio() -> None:
    """Raise `InputError` where Gradio is not installed, with the way to install it.

    It is told not to report its use, which it would do on being imported.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if importlib.util.find_spec("gradio") is None:
        raise InputError(
            "expected Gradio, which the hands-on page needs: pip install 'sparsecert[app]'"
        )


def listening(host: str, port: int) -> socket.socket:
    """A socket there; raises `InputError` where there can be none."""
    if not 0 <= port < 2**16:
        raise InputError(f"expected a port from 0 to {2**16 - 1}, got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}, port {port}: {error.strerror}; choose another --host or "
            "--port"
        ) from error
