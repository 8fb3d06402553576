// The certified provider, configured for the grants that Lanyard uses, with per-client scopes, token life and format.

import * as crypto from "node:crypto";

import { createInteractions } from "./interactions.mjs";

export const PROTECTED_PATH = "/api/me";

const extraClientProperties = [
  "allowed_scopes",
  "withheld_scopes",
  "token_ttl",
  "token_format",
  "pkce_required",
  "rotate_refresh_tokens",
  "device_code_ttl",
];
const OIDC_SCOPES = ["openid", "offline_access"];

function signingKeys() {
  const rsa = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = ({ privateKey }, kid, alg) => ({ ...privateKey.export({ format: "jwk" }), kid, alg, use: "sig" });
  return { jwks: { keys: [jwk(rsa, "rs256", "RS256"), jwk(ec, "es256", "ES256")] }, es256: ec.publicKey };
}

export function createProvider({ library, issuer, state, store }) {
  const { Provider, errors } = library;
  const keys = signingKeys();
  const resources = { opaque: `${issuer}/api`, jwt: `${issuer}/api/jwt` };

  function resourceServerInfo(ctx, resource, client) {
    const format = Object.keys(resources).find((name) => resources[name] === resource);
    if (format === undefined) throw new errors.InvalidTarget("unknown resource");
    const allowed = client.allowed_scopes;
    const refused = [...ctx.oidc.requestParamScopes].filter((scope) => !allowed.includes(scope) && !OIDC_SCOPES.includes(scope));
    if (refused.length) throw new errors.InvalidScope("requested scope is not allowed", refused.join(" "));
    return {
      audience: resource,
      scope: allowed.filter((scope) => !client.withheld_scopes.includes(scope)).join(" "),
      accessTokenFormat: format,
      accessTokenTTL: client.token_ttl,
      jwt: format === "jwt" ? { sign: { alg: "ES256" } } : undefined,
    };
  }

  const defaultResource = (_ctx, client, oneOf) => oneOf ?? resources[client.token_format];

  const provider = new Provider(issuer, {
    adapter: (model) => {
      const tokens = store.adapter(model);
      return model === "Client" ? { ...tokens, find: async (id) => state.clients.get(id) } : tokens;
    },
    jwks: keys.jwks,
    cookies: { keys: [crypto.randomBytes(32).toString("base64url")] },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
    clientDefaults: { response_types: [], redirect_uris: [], grant_types: ["client_credentials"] },
    extraClientMetadata: { properties: extraClientProperties },
    scopes: OIDC_SCOPES,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: (_ctx, client) => client.pkce_required },
    findAccount: (_ctx, id) => (state.users.has(id) ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    // A refresh token that was rotated and comes again ends its whole grant: the library always does that.
    rotateRefreshToken: (ctx) => ctx.oidc.client.rotate_refresh_tokens,
    ttl: {
      AccessToken: (_ctx, _token, client) => client.token_ttl,
      ClientCredentials: (_ctx, _token, client) => client.token_ttl,
      DeviceCode: (_ctx, _code, client) => client.device_code_ttl,
      RefreshToken: 14 * 24 * 3600,
      Grant: 14 * 24 * 3600,
      IdToken: 3600,
      Interaction: 600,
      Session: 24 * 3600,
    },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      resourceIndicators: {
        enabled: true,
        defaultResource,
        getResourceServerInfo: resourceServerInfo,
        useGrantedResource: () => true,
      },
      rpInitiatedLogout: { enabled: false },
    },
  });

  // RFC 6749 section 4.3; the library leaves this grant out, Lanyard offers it for products that know nothing else.
  async function passwordGrant(ctx) {
    const { client, params } = ctx.oidc;
    for (const name of ["username", "password"]) {
      if (!params[name]) throw new errors.InvalidRequest(`missing required parameter ${name}`);
    }
    if (state.users.get(params.username)?.password !== params.password) {
      throw new errors.InvalidGrant("invalid user credentials");
    }
    const resource = params.resource ?? defaultResource(ctx, client);
    const info = resourceServerInfo(ctx, resource, client);
    const granted = info.scope.split(" ").filter((scope) => ctx.oidc.requestParamScopes.has(scope)).join(" ");
    const accountId = params.username;

    const grant = new provider.Grant({ clientId: client.clientId, accountId });
    if (granted) grant.addResourceScope(resource, granted);
    const grantId = await grant.save();

    const token = new provider.AccessToken({ accountId, client, grantId, gty: "password" });
    token.resourceServer = new provider.ResourceServer(resource, info);
    token.scope = granted || undefined;
    const body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType };
    if (granted) body.scope = granted;
    if (client.grantTypeAllowed("refresh_token")) {
      const refresh = new provider.RefreshToken({
        accountId,
        client,
        grantId,
        gty: "password",
        resource,
        rotations: 0,
        scope: granted || undefined,
      });
      body.refresh_token = await refresh.save();
    }
    ctx.body = body;
  }
  provider.registerGrantType("password", passwordGrant, ["username", "password", "scope", "resource"]);

  function claimsOfJwt(value) {
    const [header, payload, signature] = value.split(".");
    const key = { key: keys.es256, dsaEncoding: "ieee-p1363" };
    if (!crypto.verify("sha256", Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, "base64url"))) return undefined;
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    return claims.exp > Date.now() / 1000 ? claims : undefined;
  }

  async function liveToken(value) {
    if (value.split(".").length === 3) {
      const claims = claimsOfJwt(value);
      return claims && { clientId: claims.client_id, scope: claims.scope, accountId: claims.sub, exp: claims.exp };
    }
    const token = (await provider.ClientCredentials.find(value)) ?? (await provider.AccessToken.find(value));
    return token?.isValid ? token : undefined;
  }

  async function protectedResource(ctx) {
    ctx.set("cache-control", "no-store");
    const [scheme, value] = ctx.get("authorization").split(" ");
    const token = scheme.toLowerCase() === "bearer" && value ? await liveToken(value) : undefined;
    if (!token) {
      ctx.status = 401;
      ctx.set("www-authenticate", value ? 'Bearer error="invalid_token"' : "Bearer");
      ctx.body = { error: "invalid_token" };
      return undefined;
    }
    ctx.body = {
      client_id: token.clientId,
      scope: token.scope ?? "",
      sub: token.accountId ?? token.clientId,
      expires_at: token.exp,
    };
    return token.clientId;
  }

  function claimedClient(ctx) {
    const { oidc } = ctx;
    if (oidc?.client) return oidc.client.clientId;
    if (oidc?.params?.client_id) return oidc.params.client_id;
    const [scheme, value] = ctx.get("authorization").split(" ");
    if (scheme.toLowerCase() !== "basic" || !value) return undefined;
    return decodeURIComponent(Buffer.from(value, "base64").toString().split(":")[0].replaceAll("+", "%20"));
  }

  const interactions = createInteractions({ provider, state });
  provider.use(async (ctx, next) => {
    const at = Date.now() / 1000;
    let clientId;
    if (ctx.path === PROTECTED_PATH && ctx.method === "GET") clientId = await protectedResource(ctx);
    else if (!(await interactions(ctx))) await next();
    state.record({
      at,
      endpoint: ctx.path,
      clientId: clientId ?? claimedClient(ctx),
      grantType: ctx.oidc?.params?.grant_type,
      status: ctx.status,
      error: ctx.body?.error,
      scope: ctx.oidc?.params?.scope,
      userAgent: ctx.get("user-agent"),
    });
  });

  provider.on("server_error", (_ctx, error) => console.error(error));
  return provider;
}
