// Starts the OAuth server of the local environment: the provider over TLS, the admin API beside it.
//
// Environment: LANYARD_OAUTH_MODULES (folder holding node_modules), LANYARD_OAUTH_CERT and LANYARD_OAUTH_KEY (PEM paths),
// LANYARD_OAUTH_READY (a file written once both ports answer), LANYARD_OAUTH_PORT and LANYARD_OAUTH_ADMIN_PORT (0 = free).

import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { createRequire } from "node:module";
import * as path from "node:path";
import { pathToFileURL } from "node:url";

import { createAdmin } from "./admin.mjs";
import { createStore } from "./memory.mjs";
import { createProvider } from "./provider.mjs";
import { createState } from "./state.mjs";

// Node 20 is enough for everything here but this one static method, which the library calls for resource indicators.
URL.parse ??= (value, base) => {
  try {
    return new URL(value, base);
  } catch {
    return null;
  }
};

const { env } = process;
const LOOPBACK = "127.0.0.1";
// Above the idle time of the clients under test: a connection closed by the server between two requests is a fault to be
// injected by the proxy, never an accident.
const KEEP_ALIVE_MS = 120_000;

async function listen(server, port) {
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.listen(Number(port ?? 0), LOOPBACK);
  await once(server, "listening");
  return server.address().port;
}

const modules = createRequire(path.join(env.LANYARD_OAUTH_MODULES, "package.json"));
const library = await import(pathToFileURL(modules.resolve("oidc-provider")));

let answer = (_request, response) => response.writeHead(503).end();
const tls = https.createServer(
  { cert: readFileSync(env.LANYARD_OAUTH_CERT), key: readFileSync(env.LANYARD_OAUTH_KEY) },
  (request, response) => answer(request, response),
);
const issuer = `https://${LOOPBACK}:${await listen(tls, env.LANYARD_OAUTH_PORT)}`;

const state = createState();
const store = createStore();
const provider = createProvider({ library, issuer, state, store });
answer = provider.callback();

const admin = http.createServer(createAdmin({ state, provider, store }));
const adminUrl = `http://${LOOPBACK}:${await listen(admin, env.LANYARD_OAUTH_ADMIN_PORT)}`;

const ready = JSON.stringify({ issuer, admin: adminUrl });
if (env.LANYARD_OAUTH_READY) {
  writeFileSync(`${env.LANYARD_OAUTH_READY}.part`, ready);
  renameSync(`${env.LANYARD_OAUTH_READY}.part`, env.LANYARD_OAUTH_READY);
}
console.log(ready);

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
