"""What tests ask of a page in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

OpenPage = Callable[[str], "Page"]

_OWN_SCHEMES = ("file", "data", "blob", "about")
_GRAVE = ("serious", "critical")


@dataclass(frozen=True)
class Screen:
    """What a page is looked at on.

    Attributes:
        width: in CSS pixels.
        scheme: which colours the visitor prefers.
        height: in CSS pixels.
    """

    width: int
    scheme: Literal["light", "dark"]
    height: int = 900

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}"


SCREENS = [Screen(width, scheme) for width in (1280, 375) for scheme in ("light", "dark")]
DESKTOP, PHONE = Screen(1280, "light"), Screen(375, "light")


class Watch:
    """Collects what a page should not do.

    Args:
        page: before it is sent anywhere.
        address: where it will be sent; other hosts than this are elsewhere.

    Attributes:
        complaints: errors in the console, exceptions, and requests to elsewhere.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self._host = urlsplit(address).netloc
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("websocket", lambda socket: self._request(socket.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self.complaints.append(f"console error: {message.text} ({where})")

    def _request(self, url: str) -> None:
        asked = urlsplit(url)
        if asked.scheme not in _OWN_SCHEMES and asked.netloc != self._host:
            self.complaints.append(f"request to elsewhere: {url}")


def check_accessible(page: Page) -> None:
    """Fail on what axe-core finds serious or critical on a page as it stands."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    grave = [finding for finding in found if finding["impact"] in _GRAVE]
    assert not grave, "\n\n".join(map(_told, grave))


def scrolls_sideways(page: Page) -> bool:
    """Whether the page is wider than its screen."""
    wider: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return wider


def _told(finding: dict[str, Any]) -> str:
    """A finding of axe-core, with the elements it is about."""
    lines = [f"{finding['impact']}: {finding['help']} ({finding['id']})"]
    for node in finding["nodes"]:
        lines += [f"  {node['html']}", f"    {node['failureSummary']}"]
    return "\n".join(lines)
