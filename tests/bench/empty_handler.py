"""`python -m bench.empty_handler PORT`: a form comes in, a JSON object goes out. What a web server costs by itself."""

import json
import sys

from aiohttp import web


async def _answer(request: web.Request) -> web.Response:
    form = await request.post()
    told = {"access_token": "x" * 600, "token_type": "Bearer", "expires_in": 3600, "scope": form.get("scope", "")}
    return web.Response(body=json.dumps(told).encode(), content_type="application/json")


def main() -> None:
    app = web.Application()
    app.router.add_post("/token", _answer)
    app.router.add_get("/healthz", lambda _: web.Response())
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
