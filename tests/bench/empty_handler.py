"""`python -m bench.empty_handler PORT`: a form comes in, a JSON object goes out. What a web server costs by itself.

Under /crypto it also does the bare cryptography of an exchange: one RS256 verification and one ES256 signature. In a
loop of nothing else both take half of what they take between two requests, for then every cache is theirs.
"""

import json
import sys
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

_MESSAGE = b"x" * 900
_TOLD = {"access_token": "x" * 600, "token_type": "Bearer", "expires_in": 3600}


async def _answer(request: web.Request) -> web.Response:
    form = await request.post()
    told: dict[str, Any] = _TOLD | {"scope": form.get("scope", "")}
    return web.Response(body=json.dumps(told).encode(), content_type="application/json")


def main() -> None:
    theirs, ours = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    public, signature = theirs.public_key(), theirs.sign(_MESSAGE, padding.PKCS1v15(), hashes.SHA256())

    async def with_cryptography(request: web.Request) -> web.Response:
        public.verify(signature, _MESSAGE, padding.PKCS1v15(), hashes.SHA256())
        ours.sign(_MESSAGE, ec.ECDSA(hashes.SHA256()))
        return await _answer(request)

    app = web.Application()
    app.router.add_post("/token", _answer)
    app.router.add_post("/crypto", with_cryptography)
    app.router.add_get("/healthz", lambda _: web.Response())
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
