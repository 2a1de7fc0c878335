"""Connections that wait for the next request: the pool sees when the server has closed one."""

from __future__ import annotations

import asyncio

from oxen_inference.http_clients import make_async_http_client


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    opened: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nox")

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        make_async_http_client() as client,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert [(await client.get(url)).text for _ in range(2)] == ["ox", "ox"]
        assert len(opened) == 1

        opened[0].close()
        await opened[0].wait_closed()
        assert (await client.get(url)).text == "ox"
        assert len(opened) == 2
