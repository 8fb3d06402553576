// Token storage for the OAuth server. The library's own memory adapter forgets beyond two thousand entries, which a bench
// with ten thousand live tokens would meet as tokens that die early.

const GRANTABLE = new Set(["AccessToken", "AuthorizationCode", "RefreshToken", "DeviceCode"]);

export function createStore({ sweepSeconds = 15 } = {}) {
  const models = new Map();
  const grants = new Map();

  const entries = (model) => {
    if (!models.has(model)) models.set(model, new Map());
    return models.get(model);
  };

  const sweep = setInterval(() => {
    const now = Date.now();
    for (const kept of models.values()) {
      for (const [id, { expires }] of kept) if (expires <= now) kept.delete(id);
    }
    for (const [grantId, members] of grants) {
      for (const member of members) if (!entries(member.model).has(member.id)) members.delete(member);
      if (members.size === 0) grants.delete(grantId);
    }
  }, sweepSeconds * 1000);
  sweep.unref();

  const find = (model, id) => {
    const entry = entries(model).get(id);
    return entry && entry.expires > Date.now() ? entry.payload : undefined;
  };
  const findBy = (model, key, value) => {
    for (const { payload, expires } of entries(model).values()) {
      if (payload[key] === value && expires > Date.now()) return payload;
    }
    return undefined;
  };

  // The shape is the adapter contract of oidc-provider; a client's metadata comes from the admin API instead.
  const adapter = (model) => ({
    async upsert(id, payload, expiresIn) {
      const expires = typeof expiresIn === "number" ? Date.now() + expiresIn * 1000 : Infinity;
      entries(model).set(id, { payload, expires });
      if (GRANTABLE.has(model) && payload.grantId) {
        if (!grants.has(payload.grantId)) grants.set(payload.grantId, new Set());
        grants.get(payload.grantId).add({ model, id });
      }
    },
    async find(id) {
      return find(model, id);
    },
    async findByUid(uid) {
      return findBy(model, "uid", uid);
    },
    async findByUserCode(userCode) {
      return findBy(model, "userCode", userCode);
    },
    async consume(id) {
      const payload = find(model, id);
      if (payload) payload.consumed = Math.floor(Date.now() / 1000);
    },
    async destroy(id) {
      entries(model).delete(id);
    },
    async revokeByGrantId(grantId) {
      for (const { model: of, id } of grants.get(grantId) ?? []) entries(of).delete(id);
      grants.delete(grantId);
    },
  });

  const endGrants = (clientId, models) => {
    let ended = 0;
    for (const model of models) {
      for (const [id, { payload }] of entries(model)) {
        if (payload.clientId === clientId && entries(model).delete(id)) ended += 1;
      }
    }
    return ended;
  };

  return { adapter, endGrants };
}
