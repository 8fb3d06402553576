"""`python -m localenv.proxy`: one fault proxy and its control port, until a signal ends it."""

import argparse
import asyncio
import json
import signal
import ssl
from pathlib import Path

from aiohttp import web

from localenv.proxy.server import FaultServer, control


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="localenv.proxy")
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--upstream-ca")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--ready", type=Path, required=True)
    return parser.parse_args()


async def serve(args: argparse.Namespace) -> None:
    tls = None
    if args.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(args.cert, args.key)
    upstream_tls = ssl.create_default_context(cafile=args.upstream_ca) if args.upstream_ca else None
    server = FaultServer(args.upstream, upstream_tls=upstream_tls, tls=tls)
    port = await server.start(args.port)

    runner = web.AppRunner(control(server), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", args.control_port)
    await site.start()

    control_port = runner.addresses[0][1]
    part = args.ready.with_suffix(".part")
    part.write_text(json.dumps({"port": port, "control_port": control_port}))
    part.replace(args.ready)

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.close()
    await runner.cleanup()


asyncio.run(serve(arguments()))
