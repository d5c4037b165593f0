"""What stands before every route: names, origins, the token; and the headers of every answer."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matnet_jax.predict.serve.meters import Meters
from matnet_jax.predict.serve.service import Allowed

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")
_FOR_ALL = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """An ASGI application in front of another.

    Args:
      app: answers what is let through.
      allowed: the token, and the names that are answered to.
      meters: are told of every answer.
    """

    def __init__(self, app: ASGIApp, allowed: Allowed, meters: Meters) -> None:
        self._app, self._allowed, self._meters = app, allowed, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _FOR_ALL.items():
                    headers.setdefault(name, value)
                path = getattr(scope.get("route"), "path", "") or "other"
                self._meters.answered(path, _known(scope["method"]), message["status"])
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, answer)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        known = self._allowed.hosts
        # What asks whether it is well, a container or a proxy, knows an address and no name.
        if known and scope["path"] != "/healthz" and _name(host) not in known:
            names = ", ".join(known)
            return _problem(421, f"this service answers to {names} (--hosts), not to {host[:80]!r}")
        if scope["method"] not in _SAFE and _from_elsewhere(headers, host):
            return _problem(403, "a page of another origin may not use this service")
        if self._allowed.token and not _is_open(scope["path"]):
            kind, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._allowed.token.encode())
            if kind.lower() != "bearer" or not right:
                answer = _problem(401, "wanted: the header Authorization: Bearer TOKEN")
                answer.headers["WWW-Authenticate"] = "Bearer"
                return answer
        return None


def _is_open(path: str) -> bool:
    """Whether a path tells nothing of anybody's files."""
    return path in ("/", "/healthz", "/openapi.json") or path.startswith("/page/")


def _from_elsewhere(headers: Headers, host: str) -> bool:
    """Whether a browser says that another site's page sends this."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def _name(host: str) -> str:
    """The name of `Host: name:port`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _known(method: str) -> str:
    return method if method in (*_SAFE, "POST", "DELETE", "PUT", "PATCH") else "other"


def _problem(status: int, text: str) -> JSONResponse:
    return JSONResponse({"detail": text}, status)
