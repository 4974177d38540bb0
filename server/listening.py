"""The listening socket and hypercorn's configuration, from the settings."""

import errno
import logging
import os
import socket

from hypercorn.config import Config

from server.settings import Settings

BACKLOG = 1024
IN_USE = "; another program listens there: stop it, or choose another port with --port"


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


def listen(settings: Settings) -> socket.socket:
    """A bound and listening socket; raises CannotListen."""
    host, port = settings.server.host, settings.server.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=False)
    except socket.gaierror as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from None
    except OSError as error:
        # the library adds the address to strerror, and the message has it already
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        hint = IN_USE if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}{hint}") from None
    listener.setblocking(False)
    # a chunk must leave when it is written; accepted sockets inherit this
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # the kernel gives up on a peer that is gone without a word, also where no write of ours is waiting
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.timeouts.write_stall_seconds * 1000))
    return listener


def url_of(listener: socket.socket, settings: Settings) -> str:
    """The address of a listening socket as a URL that can be opened on this machine."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.server.tls_cert else 'http'}://{shown}:{port}"


def hypercorn_config(settings: Settings) -> Config:
    """What hypercorn is told; its own timeouts of requests and shutdown are not used."""
    config = Config()
    config.include_server_header = False
    config.h11_max_incomplete_size = settings.server.max_header_bytes
    config.errorlog = logging.getLogger("penstock.http")
    config.accesslog = None
    # HTTP/1.1 only: one protocol, whose every fault is known
    config.alpn_protocols = ["http/1.1"]
    if settings.server.tls_cert:
        config.certfile = settings.server.tls_cert
        config.keyfile = settings.server.tls_key
    return config
