"""Parts of a network on this machine: a proxy that counts connections, a server that resets streams, and a name server."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socketserver
import struct
import threading


class CountingProxy:
    """Forwards TCP connections to a port, and counts those that calls use: gRPC also opens connections that it closes after the handshake. A
    context manager.
    """

    #: More bytes than a TLS handshake has in one direction.
    USED_MIN_BYTES = 20_000

    def __init__(self, port: int) -> None:
        #: The number of connections that calls have used.
        self.connections = 0
        self._target = port
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._copy(reader, other_writer, is_counted=True), self._copy(other_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_counted: bool = False) -> None:
        remaining = self.USED_MIN_BYTES
        try:
            while data := await reader.read(65_536):
                self.connections += is_counted and remaining > 0 >= remaining - len(data)
                remaining -= len(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def __enter__(self) -> CountingProxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._loop.close()


class ResettingServer:
    """An HTTP/2 server without TLS that resets each stream with CANCEL, as a server or a proxy that ends a call without a status. A context
    manager.
    """

    def __init__(self) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    self.rfile.read(PREFACE_BYTES)
                    self.send(SETTINGS, 0, bytes(4), b"")
                    while header := self.rfile.read(FRAME_HEADER_BYTES):
                        kind, flags, stream = header[3], header[4], header[5:]
                        data = self.rfile.read(int.from_bytes(header[:3]))
                        if kind == HEADERS:
                            self.send(RST_STREAM, 0, stream, CANCEL.to_bytes(4))
                        elif kind in (SETTINGS, PING) and not flags & ACK:
                            self.send(kind, ACK, stream, data if kind == PING else b"")

            def send(self, kind: int, flags: int, stream: bytes, data: bytes) -> None:
                self.wfile.write(len(data).to_bytes(3) + bytes([kind, flags]) + stream + data)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        # A client can close its connections later than it is closed itself.
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ResettingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


#: HTTP/2, RFC 9113: the length of the client's preface and of a frame's header, types of frames, a flag and an error code.
PREFACE_BYTES = 24
FRAME_HEADER_BYTES = 9
HEADERS, RST_STREAM, SETTINGS, PING = 0x1, 0x3, 0x4, 0x6
ACK = 0x1
CANCEL = 0x8


class NameServer:
    """A DNS server that knows the addresses of every name. A context manager."""

    def __init__(self, addresses: list[str]) -> None:
        names: set[str] = set()
        self.names = names

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, socket = self.request
                question, name, kind = parsed_question(data)
                names.add(name)
                found = addresses if kind == TYPE_A else []
                header = data[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0)
                records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, 1, 0, 4) + ipaddress.ip_address(address).packed for address in found)
                socket.sendto(header + question + records, self.client_address)

        self._server = socketserver.UDPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.port = self._server.server_address[1]

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


TYPE_A = 1


def parsed_question(data: bytes) -> tuple[bytes, str, int]:
    """The bytes of a query's question, its name and the type of record."""
    position = 12
    labels = []
    while data[position]:
        labels.append(data[position + 1 : position + 1 + data[position]].decode())
        position += 1 + data[position]
    (kind,) = struct.unpack(">H", data[position + 1 : position + 3])
    return data[12 : position + 5], ".".join(labels), kind
