// One flow of openid-client against a server, as its documentation shows it; what came of it as one line of JSON.

import { pathToFileURL } from "node:url";

const { modules, issuer, clientId, assertion, flow, metadata, parameters } = JSON.parse(process.argv[2]);
const client = await import(pathToFileURL(`${modules}/node_modules/openid-client/build/index.js`));

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt";

// The library's own extension point for a client that has its assertion from somewhere else.
function withAssertion(_server, { client_id }, body) {
  body.set("client_id", client_id);
  body.set("client_assertion_type", ASSERTION_TYPE);
  body.set("client_assertion", assertion);
}

async function run() {
  const authentication = flow === "tokenExchange" ? client.None() : withAssertion;
  const config = await client.discovery(new URL(issuer), clientId, undefined, authentication, { algorithm: metadata });
  const server = config.serverMetadata();
  const tokens =
    flow === "tokenExchange"
      ? await client.genericGrantRequest(config, TOKEN_EXCHANGE, {
          subject_token: assertion,
          subject_token_type: JWT_TYPE,
          ...parameters,
        })
      : await client.clientCredentialsGrant(config, parameters);
  return { issuer: server.issuer, token_endpoint: server.token_endpoint, tokens };
}

try {
  console.log(JSON.stringify(await run()));
} catch (error) {
  console.log(JSON.stringify({ error: error.error ?? error.code ?? error.name, status: error.status, text: error.message }));
}
