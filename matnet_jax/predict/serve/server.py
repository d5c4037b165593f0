"""Uvicorn, which says where it listens and lets those go who wait before it closes."""

import socket
from typing import Any

import uvicorn

from matnet_jax.predict.serve.service import Service


class Server(uvicorn.Server):
    """Serves a service.

    Args:
      config: of uvicorn.
      service: is closed first when the server is told to end.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and says where."""
        await super().startup(sockets)
        if self.started:
            print(f"serving on {address(self)} (Ctrl-C ends it)", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends waiting requests with an answer, then all connections."""
        self._service.close()
        await super().shutdown(sockets)


def address(server: Any) -> str:
    """Where a server that was started is reached: http://HOST:PORT/."""
    host, port, *_ = server.servers[0].sockets[0].getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
