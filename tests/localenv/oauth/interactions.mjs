// The pages on which a person signs in and agrees, or declines: what a product shows between our redirect and its own.

const HTML = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };
// A provider may write anything here; what shows it to a person unescaped runs this.
export const HOSTILE_TEXT = "<script>document.title='owned'</script>";

const escaped = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

const page = (title, body) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head><body><main><h1>${escaped(title)}</h1>
${body}</main></body></html>`;

const loginPage = (uid, failed) => page("Sign in", `${failed ? "<p role=alert>That is not right.</p>" : ""}
<form method="post" action="/interaction/${uid}/login">
<p><label>Name <input name="name" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button>Sign in</button></p></form>`);

const consentPage = (uid, client, scopes) => page("Allow access?", `
<p>${escaped(client)} asks for: ${escaped(scopes || "nothing in particular")}</p>
<form method="post" action="/interaction/${uid}/agree"><button>Allow</button></form>
<form method="post" action="/interaction/${uid}/decline"><button>Decline</button></form>`);

async function form(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

async function agreed(provider, details) {
  const { prompt, params, session, grantId } = details;
  const known = grantId ? await provider.Grant.find(grantId) : undefined;
  const grant = known ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(" "));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(" "));
  }
  return { consent: { grantId: await grant.save() } };
}

// Answers true when the request was one of these pages.
export function createInteractions({ provider, state }) {
  return async (ctx) => {
    const [, place, uid, step] = ctx.path.split("/");
    if (place !== "interaction" || !uid) return false;
    const details = await provider.interactionDetails(ctx.req, ctx.res);
    const { params, prompt } = details;
    const show = (html) => {
      ctx.set(HTML);
      ctx.body = html;
      return true;
    };
    const finish = async (result, merge) => {
      ctx.status = 303;
      ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: merge }));
      ctx.status = 303;
      return true;
    };
    if (ctx.method === "GET") {
      return show(prompt.name === "login" ? loginPage(uid, false) : consentPage(uid, params.client_id, params.scope));
    }
    switch (step) {
      case "login": {
        const fields = await form(ctx.req);
        const name = fields.get("name");
        if (state.users.get(name)?.password !== fields.get("password")) return show(loginPage(uid, true));
        return finish({ login: { accountId: name } }, false);
      }
      case "agree":
        return finish(await agreed(provider, details), true);
      case "decline":
        return finish({ error: "access_denied", error_description: HOSTILE_TEXT }, false);
      default:
        return false;
    }
  };
}
