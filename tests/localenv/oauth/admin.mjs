// The test-only admin API: who may ask for tokens, and what has been asked. Plain HTTP on loopback, no authentication.

const DEFAULTS = {
  token_endpoint_auth_method: "client_secret_basic",
  grant_types: ["client_credentials"],
  allowed_scopes: [],
  withheld_scopes: [],
  token_ttl: 3600,
  token_format: "opaque",
  pkce_required: true,
  rotate_refresh_tokens: true,
  device_code_ttl: 600,
};

const FIELDS = new Set([...Object.keys(DEFAULTS), "client_secret", "jwks", "redirect_uris", "response_types"]);

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function readJson(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString() || "{}");
  } catch {
    throw new Refusal(400, "the body is not JSON");
  }
}

export function createAdmin({ state, provider, store }) {
  async function writeClient(id, fields) {
    const unknown = Object.keys(fields).filter((name) => !FIELDS.has(name) && name !== "client_id");
    if (unknown.length) throw new Refusal(400, `unknown fields: ${unknown.join(", ")}`);
    const metadata = { ...DEFAULTS, ...fields, client_id: id };
    if (!Number.isSafeInteger(metadata.token_ttl) || metadata.token_ttl < 1) {
      throw new Refusal(400, "token_ttl is a whole number of seconds, at least 1");
    }
    try {
      await provider.Client.validate(structuredClone(metadata));
    } catch (error) {
      throw new Refusal(400, error.error_description ?? error.message);
    }
    state.clients.set(id, metadata);
    return { client_id: id };
  }

  const clients = {
    GET: (id) => {
      if (!state.clients.has(id)) throw new Refusal(404, "no such client");
      return state.clients.get(id);
    },
    PUT: async (id, body) => writeClient(id, await body()),
    PATCH: async (id, body) => writeClient(id, { ...clients.GET(id), ...(await body()) }),
    DELETE: (id) => ({ deleted: state.clients.delete(id) }),
  };
  const users = {
    PUT: async (name, body) => {
      const { password } = await body();
      if (typeof password !== "string" || !password) throw new Refusal(400, "password is missing");
      state.users.set(name, { password });
      return { name };
    },
    DELETE: (name) => ({ deleted: state.users.delete(name) }),
  };
  const requests = {
    GET: (_name, _body, query) => {
      const since = Number(query.get("since") ?? 0);
      const listed = query.has("detail") ? { requests: state.requests(since) } : { counts: state.counts(since) };
      return { marker: state.marker, ...listed };
    },
    DELETE: () => {
      state.forgetRequests();
      return { marker: state.marker };
    },
  };
  const health = { GET: () => ({ issuer: provider.issuer, marker: state.marker }) };
  // As a person does in the account's settings: nothing refreshes any more; access tokens live to their end, or not.
  const grants = {
    DELETE: (clientId, _body, query) => {
      const models = query.has("tokens") ? ["RefreshToken", "AccessToken"] : ["RefreshToken"];
      return { ended: store.endGrants(clientId, models) };
    },
  };
  const collections = { clients, users, requests, grants, healthz: health };

  return async (request, response) => {
    let status = 200;
    let answer;
    try {
      const url = new URL(request.url, "http://admin");
      const [, collection, name] = url.pathname.split("/");
      const operation = collections[collection]?.[request.method];
      if (!operation) throw new Refusal(404, "no such operation");
      answer = await operation(decodeURIComponent(name ?? ""), () => readJson(request), url.searchParams);
    } catch (error) {
      status = error.status ?? 500;
      answer = { error: error.message };
    }
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  };
}
