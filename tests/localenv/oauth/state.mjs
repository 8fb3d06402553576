// What the admin API changes and the provider reads: clients, users, and the list of requests that arrived.

const REQUESTS_KEPT = 500_000;

export function createState() {
  const clients = new Map();
  const users = new Map();
  let requests = [];
  let marker = 0;

  return {
    clients,
    users,
    record({ endpoint, clientId, grantType, status, error, scope, userAgent, at }) {
      marker += 1;
      if (requests.length >= REQUESTS_KEPT) requests = requests.slice(REQUESTS_KEPT / 2);
      requests.push({
        marker,
        at,
        endpoint,
        client_id: clientId ?? "",
        grant_type: grantType ?? "",
        status,
        error: error ?? "",
        scope: scope ?? "",
        user_agent: userAgent ?? "",
      });
    },
    requests(since) {
      return requests.filter((request) => request.marker > since);
    },
    counts(since) {
      const totals = new Map();
      for (const { marker: seen, endpoint, client_id, grant_type, status } of requests) {
        if (seen <= since) continue;
        const key = JSON.stringify([endpoint, client_id, grant_type, status]);
        totals.set(key, (totals.get(key) ?? 0) + 1);
      }
      return [...totals].map(([key, count]) => {
        const [endpoint, client_id, grant_type, status] = JSON.parse(key);
        return { endpoint, client_id, grant_type, status, count };
      });
    },
    forgetRequests() {
      requests = [];
    },
    get marker() {
      return marker;
    },
  };
}
