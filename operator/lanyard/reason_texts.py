"""What each reason says: its message, its next step and its retry rule.

`docs/reasons.md` is rendered from this module, and the anchor of a reason is its name in lower case.

Templates take only names that users or the platform wrote (objects, fields, hosts, paths, scopes) and status codes.
What a provider or a store answered never enters a message.
"""

from dataclasses import dataclass

from lanyard.reasons import Condition, Reason, Retry


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says about one reason. `stalled`: a human must act before it can succeed."""

    condition: Condition
    retry: Retry
    stalled: bool
    message: str
    hint: str


_SPEC, _CREDS, _TOKEN = Condition.SPEC_VALID, Condition.CREDENTIALS_RESOLVED, Condition.TOKEN_FRESH
_AUTH = Condition.AUTHORIZED
_SCOPES, _SECRET, _READY = Condition.SCOPES_GRANTED, Condition.SECRET_PUBLISHED, Condition.READY


def _good(condition: Condition, message: str, hint: str = "Nothing to do.") -> Entry:
    return Entry(condition, Retry.NONE, stalled=False, message=message, hint=hint)


def _spec(message: str, hint: str) -> Entry:
    return Entry(_SPEC, Retry.ON_CHANGE, stalled=True, message=message, hint=hint)


def _source(message: str, hint: str, *, stalled: bool = True) -> Entry:
    return Entry(_CREDS, Retry.SOURCE, stalled=stalled, message=message, hint=hint)


def _store(message: str, hint: str) -> Entry:
    return Entry(_CREDS, Retry.TRANSIENT, stalled=False, message=message, hint=hint)


def _config(message: str, hint: str) -> Entry:
    return Entry(_TOKEN, Retry.CONFIGURATION, stalled=True, message=message, hint=hint)


def _weather(message: str, hint: str, retry: Retry = Retry.TRANSIENT) -> Entry:
    return Entry(_TOKEN, retry, stalled=False, message=message, hint=hint)


def _consent(message: str, hint: str, *, stalled: bool = True) -> Entry:
    return Entry(_AUTH, Retry.CONSENT, stalled=stalled, message=message, hint=hint)


def _verification(message: str, hint: str) -> Entry:
    return Entry(Condition.VERIFIED, Retry.INTERVAL, stalled=False, message=message, hint=hint)


def _issuer(message: str, hint: str, *, stalled: bool = True) -> Entry:
    return Entry(Condition.ISSUER_KEYS_KNOWN, Retry.KEYS, stalled=stalled, message=message, hint=hint)


_AGAIN = "Authorize again: kubectl lanyard authorize, or status.authorizationURL. The Secret keeps its name."
_LABEL = "kubectl label {kind} {name} -n {namespace} lanyard.dev/{label}=true"

# fmt: off
CATALOGUE: dict[Reason, Entry] = {
    Reason.TOKEN_PUBLISHED: _good(_READY, "The Secret {secret} carries a live token."),
    Reason.CREDENTIALS_PUBLISHED: _good(_READY,
        "The Secret {secret} carries the credentials and follows every change of their source."),
    Reason.TOKEN_EXCHANGEABLE: _good(_READY,
        "The token is live and had by exchange alone; it is refreshed before it expires."),
    Reason.TOKENS_BY_EXCHANGE: _good(_READY,
        "Lanyard makes the tokens itself: workloads get them by exchange, with the client id {client}."),
    Reason.RESOLVED: _good(_CREDS, "Every reference was resolved."),
    Reason.VALID: _good(_SPEC, "The object is complete and consistent."),
    Reason.FRESH: _good(_TOKEN, "The token is refreshed ahead of its expiry."),
    Reason.TOKEN_OUTLIVED: _good(_TOKEN,
        "The token lives under 10 minutes; pods may read a stale file for the minute or two that kubelet needs.",
        "Ask the provider for tokens that live longer, or read the Secret through the API instead of a mount."),
    Reason.CLOCK_SKEW: _good(_TOKEN, "The clocks here and at {host} differ by more than 30 seconds.",
        "Synchronise the clock of the nodes (NTP); expiry times are corrected by the difference meanwhile."),
    Reason.GRANTED: _good(_SCOPES, "Every scope asked for was granted."),
    Reason.PUBLISHED: _good(_SECRET, "The Secret {secret} is up to date."),
    Reason.LINKED: _good(_READY,
        "The Secret {secret} carries what the Connection {name} in {namespace} publishes."),
    Reason.REACHABLE: _good(_READY, "The store answers; each asset logs in with its own ServiceAccount."),
    Reason.LOGGED_IN: _good(_READY, "The store answers and the shared login works."),
    Reason.TRUSTED: _good(_READY, "Its JWTs are exchanged for tokens of the Connection {connection}."),
    Reason.ACCEPTED: _good(Condition.ACCEPTED, "It counts for its Connection."),
    Reason.KEYS_KNOWN: _good(Condition.ISSUER_KEYS_KNOWN, "The issuer's public keys are known."),
    Reason.ACQUIRING: _good(_READY, "The first token is being fetched."),
    Reason.SUSPENDED: _good(_READY, "Suspended by spec.suspend; what was published or handed out stays as it is.",
        "Set spec.suspend to false to go on."),
    Reason.INVALID_SPEC: _spec("The spec does not fit the schema at {field}.",
        "Compare with `kubectl explain {kind}.spec` and apply it again."),
    Reason.CONNECTOR_NOT_FOUND: Entry(_SPEC, Retry.SOURCE, stalled=False,
        message="There is no connector {connector}: neither built in nor an object.",
        hint="Correct spec.connector, or ask the platform team to create that Connector."),
    Reason.CONNECTOR_INVALID: _spec("The Connector {connector} is not usable: its {field} is wrong.",
        "The platform team corrects the Connector; dependents follow by themselves."),
    Reason.METHOD_NOT_OFFERED: _spec("Connector {connector} does not offer the method {method}.",
        "Use one of: {offered}."),
    Reason.METHOD_NOT_AVAILABLE: _spec("The method {method} is not available in this version of Lanyard.",
        "Use another method of the connector, or upgrade Lanyard."),
    Reason.CLIENT_AUTH_NOT_OFFERED: _spec("Connector {connector} does not take client authentication {method}.",
        "Set spec.auth.clientAuthentication to one of: {offered}."),
    Reason.PARAMETER_MISSING: _spec("Connector {connector} needs the parameter {field}.",
        "Add spec.parameters.{field}."),
    Reason.PARAMETER_UNKNOWN: _spec("Connector {connector} has no parameter {field}.",
        "Remove spec.parameters.{field}, or correct its name."),
    Reason.PARAMETER_INVALID: _spec("The parameter {field} does not have the form that {connector} needs.",
        "Correct spec.parameters.{field}; the connector's page shows an example."),
    Reason.CREDENTIAL_MISSING: _spec("The method {method} needs the credential {field}.",
        "Add spec.credentials.{field} with a secretRef or a credentialAssetRef."),
    Reason.CREDENTIAL_UNKNOWN: _spec("The method {method} takes no credential {field}.",
        "Remove spec.credentials.{field}, or correct its name."),
    Reason.CREDENTIAL_INVALID: _source("The value behind the credential {field} does not have the form it needs.",
        "Correct the value at its source: {expected}."),
    Reason.CLIENT_ID_NOT_PLAIN: _spec("The method {method} needs the client id as a plain value.",
        "Move it from spec.credentials.clientId to spec.auth.clientId; a client id is no secret."),
    Reason.CONSENT_NOT_SET_UP: _spec("The method {method} needs a person's consent, which is not set up here.",
        "The platform team gives the operator the gateway's address and both keyrings."),
    Reason.SIGN_IN_NOT_OFFERED: _spec("The connector {connector} has no sign-in, so {field} has no meaning here.",
        "Remove {field}: Lanyard makes the tokens itself, and workloads get them by exchange."),
    Reason.EXCHANGE_NOT_SET_UP: _spec("Tokens can only be had by exchange, which is not set up here.",
        "The platform team gives the operator the gateway's address and both keyrings."),
    Reason.NOTHING_TO_EXCHANGE: _spec("The method {method} has no access token that could be had by exchange.",
        "Remove spec.secret.publish: its credentials are published as a Secret, or not at all."),
    Reason.LINK_TO_LINK: _spec("The Connection {name} in {namespace} is a link itself.",
        "Name the Connection in spec.linkTo that it leads to."),
    Reason.SECRET_NOT_FOUND: _source("The Secret {name} does not exist in {namespace}.",
        "Create it; nothing else is needed.", stalled=False ),
    Reason.SECRET_KEY_MISSING: _source("The Secret {name} has no key {key}.",
        "Add the key to the Secret, or correct the reference.", stalled=False ),
    Reason.SECRET_NOT_READABLE: _source("The Secret {name} is not marked as readable by Lanyard.",
        _LABEL.replace("{kind}", "secret").replace("{label}", "readable")),
    Reason.ASSET_NOT_FOUND: _source("The CredentialAssetRef {name} does not exist in {namespace}.",
        "Create it; nothing else is needed.", stalled=False),
    Reason.ASSET_KEY_MISSING: _source("The CredentialAssetRef {name} declares no key {key}.",
        "Use one of its keys, or add the key to its spec.keys."),
    Reason.ASSET_NOT_ADMITTED: _source("The CredentialAssetRef {name} in {namespace} does not admit this namespace.",
        "Its owner adds this namespace to its spec.allowedNamespaces."),
    Reason.ASSET_INVALID: _source("The CredentialAssetRef {name} is not usable: its {field} is wrong.",
        "Correct the CredentialAssetRef; dependents follow by themselves."),
    Reason.SERVICE_ACCOUNT_NOT_FOUND: _source("The ServiceAccount {name} does not exist in {namespace}.",
        "Create it, or correct spec.serviceAccountName.", stalled=False),
    Reason.SERVICE_ACCOUNT_NOT_PRESENTABLE: _source(
        "The ServiceAccount {name} is not marked as one that may be presented to a store.",
        _LABEL.replace("{kind}", "serviceaccount").replace("{label}", "presentable")),
    Reason.STORE_NOT_FOUND: _source("The CredentialStore {store} does not exist.",
        "Correct spec.store, or ask the platform team to create it.", stalled=False),
    Reason.STORE_INVALID: _source("The CredentialStore {store} is not usable: its {field} is wrong.",
        "The platform team corrects the CredentialStore."),
    Reason.STORE_NOT_ADMITTED: _source("The CredentialStore {store} does not admit this namespace.",
        "The platform team adds it to the store's spec.allowedNamespaces."),
    Reason.STORE_PATH_NOT_ALLOWED: _source("The path lies outside what the CredentialStore {store} allows here.",
        "Move the secret below {prefix}, or use a store with its own login."),
    Reason.STORE_SEALED: _store("The store {store} is sealed.", "Unseal it; Lanyard goes on by itself."),
    Reason.STORE_UNAVAILABLE: _store("The store {store} does not answer.",
        "Nothing to do if it is down for a moment; otherwise check its address and network."),
    Reason.STORE_TLS_FAILED: _store("The certificate of the store {store} is not trusted.",
        "Set the store's spec.vault.caBundle to the CA that signed it."),
    Reason.STORE_LOGIN_REFUSED: _source("The store {store} refused the login.",
        "Check role, audience and mount of the store's spec.vault.auth."),
    Reason.STORE_DENIED: _source("The store {store} denies access to the path {path}.",
        "Give the role behind this login a policy that reads the path."),
    Reason.STORE_PATH_NOT_FOUND: _source("The store {store} has nothing at the path {path}.",
        "Write the secret there, or correct spec.path.", stalled=False),
    Reason.STORE_FIELD_MISSING: _source("The secret at {path} has no field {field}.",
        "Add the field in the store, or correct spec.keys.", stalled=False ),
    Reason.STORE_KV_MISMATCH: _source("The mount of store {store} is not a KV engine of the version that spec says.",
        "Correct spec.vault.kvVersion or spec.vault.mount of the store."),
    Reason.STORE_VERSION_NOT_FOUND: _source("The store {store} has no version {version} of the path {path}.",
        "Correct spec.version, or leave it empty for the newest."),
    Reason.STORE_ANSWER_INVALID: _store("The store {store} answered something that is not a secret.",
        "Check that its address leads to Vault or OpenBao, not to a login page."),
    Reason.LINK_TARGET_NOT_FOUND: _source(
        "The Connection {name} does not exist in {namespace}, so nothing of it is here.",
        "Create it, or correct spec.linkTo.", stalled=False),
    Reason.LINK_TARGET_NOT_READY: _source("The Connection {name} in {namespace} has nothing that works to share now.",
        "Its own conditions say why; this link follows by itself.", stalled=False),
    Reason.LINK_NOT_ALLOWED: _source(
        "The Connection {name} in {namespace} does not admit this namespace, so nothing of it is here.",
        "Its owner adds this namespace to its spec.allowedNamespaces."),
    Reason.LIMIT_EXCEEDED: Entry(Condition.ACCEPTED, Retry.ON_CHANGE, stalled=True,
        message="The Connection {name} has {limit} older credentials, and no more count.",
        hint="Delete one that nobody uses (kubectl get fedcred shows the last use); the next in age takes its place."),
    Reason.DUPLICATE_NAME: Entry(Condition.ACCEPTED, Retry.ON_CHANGE, stalled=True,
        message="An older credential of the Connection {name} has the same display name.",
        hint="Give this one another spec.displayName."),
    Reason.CONNECTION_NOT_FOUND: Entry(Condition.CONNECTION_RESOLVED, Retry.SOURCE, stalled=False,
        message="There is no Connection {name} in this namespace.",
        hint="Create it; spec.connectionRef cannot be changed, so with another name in mind create this one anew."),
    Reason.CONNECTION_IS_LINK: Entry(Condition.CONNECTION_RESOLVED, Retry.ON_CHANGE, stalled=True,
        message="The Connection {name} is a link, and nothing is exchanged for a link.",
        hint="Create the credential in the namespace of the Connection that its spec.linkTo names."),
    Reason.NO_TOKEN_TO_HAND_OUT: Entry(Condition.CONNECTION_RESOLVED, Retry.ON_CHANGE, stalled=True,
        message="The Connection {name} has the method {method}, which fetches no token that could be handed out.",
        hint="Use a Connection with another method; this one's Secret can be mounted instead."),
    Reason.EXPIRED: Entry(_READY, Retry.ON_CHANGE, stalled=True,
        message="The time of spec.expiresAt has come: nothing is exchanged any more.",
        hint="Set a later spec.expiresAt, or delete this credential."),
    Reason.ISSUER_KEYS_PENDING: Entry(Condition.ISSUER_KEYS_KNOWN, Retry.SOURCE, stalled=False,
        message="The issuer's public keys are being fetched.", hint="Nothing to do."),
    Reason.JWKS_INVALID: Entry(Condition.ISSUER_KEYS_KNOWN, Retry.ON_CHANGE, stalled=True,
        message="spec.jwks has no public key that can be used (RFC 7517).",
        hint="Copy the issuer's JWKS document as it is; it begins with its member keys."),
    Reason.SCOPES_NOT_ENFORCEABLE: Entry(Condition.SCOPES_ENFORCEABLE, Retry.SOURCE, stalled=True,
        message="The token of the Connection {name} has scopes beyond spec.scopes, and it cannot be narrowed.",
        hint="Add the rest of the Connection's status.grantedScopes to spec.scopes, or leave spec.scopes out."),
    Reason.MUTABLE_SUBJECT: Entry(Condition.SUBJECT_LASTING, Retry.NONE, stalled=False,
        message="The subject is a name that can change hands.",
        hint="Write {form} where tokens say so, or add a claim rule on {claim}."),
    Reason.DUPLICATE_TRUST: Entry(Condition.TRUST_UNIQUE, Retry.NONE, stalled=False,
        message="The FederatedCredential {name} trusts the same issuer, subject and audience for this Connection.",
        hint="Delete one of them; while a JWT fits both, revoking one alone takes nothing away."),
    Reason.UNUSED: Entry(Condition.IN_USE, Retry.NONE, stalled=False,
        message="Nobody has used it for {days} days.", hint="Delete it where nobody needs it."),
    Reason.CLIENT_REJECTED: _config("The client id or the {proof} was refused by {host}.",
        "Compare both with the app's registration; a rotated one is picked up by itself."),
    Reason.CREDENTIALS_REJECTED: _config("The user name or the password was refused by {host}.",
        "Correct the password at its source; it is picked up by itself."),
    Reason.SCOPE_REJECTED: _config("A scope that was asked for is not known or not allowed at {host}.",
        "Correct spec.auth.scopes, or allow the scopes in the app's registration."),
    Reason.SCOPE_MISSING: Entry(_SCOPES, Retry.CONFIGURATION, stalled=True, message="Not granted: {scopes}.",
        hint="Add the scopes to the app's registration at the provider."),
    Reason.REQUEST_REJECTED: _config("The token endpoint at {host} refused the request (status {status}).",
        "Compare parameters, method and grant type with the app's registration."),
    Reason.TOKEN_ENDPOINT_DENIED: _config("The token endpoint at {host} forbids the request (status 403).",
        "Check the app's permissions and the provider's IP allow-list."),
    Reason.TOKEN_ENDPOINT_NOT_FOUND: _config("There is no token endpoint at this address of {host} (status {status}).",
        "Check the host and tenant in spec.parameters."),
    Reason.PROVIDER_THROTTLED: _weather("The token endpoint at {host} asks for fewer requests (status 429).",
        "Nothing to do; the next attempt is in status.nextRefreshAt.", Retry.THROTTLED),
    Reason.PROVIDER_UNAVAILABLE: _weather("The token endpoint at {host} does not serve (status: {status}).",
        "Nothing to do; Lanyard goes on trying."),
    Reason.PROVIDER_TIMED_OUT: _weather("The token endpoint at {host} did not answer in time.",
        "Nothing to do if it lasts a moment; otherwise check network and proxy."),
    Reason.PROVIDER_TLS_FAILED: _weather("The certificate of {host} is not trusted or not for this name.",
        "Check the host name; for a private CA set the operator's CA bundle."),
    Reason.PROVIDER_REDIRECTED: _config("The token endpoint at {host} redirects, which is never followed.",
        "Set the final address in spec.parameters or in the Connector."),
    Reason.PROVIDER_ANSWER_INVALID: _weather("The answer of {host} is not a token answer.",
        "Check that the address is the token endpoint, not a login page."),
    Reason.TENANT_NOT_CHOSEN: _config("Of the tenants that the account may use at {host}, not exactly one fits.",
        "Name one of them in spec.parameters: {field}."),
    Reason.EGRESS_NOT_ALLOWED: _config("The address of {host} is private, and this platform does not allow it.",
        "Ask the platform team to allow the network in the operator's egress settings."),
    Reason.TOKEN_EXPIRED: _weather("The published token has expired.", "See why TokenFresh is False."),
    Reason.AUTHORIZED: _good(_AUTH, "{account} has authorized this Connection."),
    Reason.AUTHORIZATION_REQUIRED: _consent("Nobody has authorized this Connection yet.",
        "Run kubectl lanyard authorize, or open status.authorizationURL in a browser.", stalled=False),
    Reason.AUTHORIZATION_FAILED: _consent("The provider's answer to the consent could not be used ({why}).",
        "Look this reason up, mend what it names, then authorize again."),
    Reason.CONSENT_DENIED: _consent("Access was declined at the provider.",
        "If an administrator there must approve the app first, ask them; then authorize again."),
    Reason.ACCOUNT_MISMATCH: _consent("Another account signed in than spec.auth.expectedAccount names.",
        "Sign in as the expected account and authorize again, or correct spec.auth.expectedAccount."),
    Reason.ACCOUNT_UNKNOWN: _consent("The provider did not say who signed in, so spec.auth.expectedAccount is not met.",
        "Authorize again; where this stays, the product names no account: remove spec.auth.expectedAccount."),
    Reason.AUTHORIZATION_EXPIRED: _consent("The time for this consent was over before it could be used.",
        _AGAIN),
    Reason.AUTHORIZATION_LOST: _consent("The exchange of the provider's answer was cut short; a code works once.",
        _AGAIN),
    Reason.AUTHORIZATION_OUTDATED: _consent(
        "The Connection, its connector or its approval was changed during the consent.", _AGAIN),
    Reason.GRANT_REVOKED: _consent("The provider has ended the access that was granted (invalid_grant).", _AGAIN),
    Reason.GRANT_EXPIRED: _consent("The refresh token has expired.", _AGAIN),
    Reason.REFRESH_TOKEN_LOST: _consent(
        "A refresh got no answer, and the provider takes the refresh token that we have no more.", _AGAIN),
    Reason.GRANT_NOT_REVOKED: Entry(_AUTH, Retry.NONE, stalled=False,
        message="The Connection is gone, and its grant could not be revoked at the provider ({why}).",
        hint="Remove the app's access in the account's settings at the provider."),
    Reason.CLIENT_CHANGED: _consent("The access was granted to another client id than spec.auth.clientId names.",
        "Authorize again, or go back to the client id from before."),
    Reason.CONNECTOR_CHANGED: _consent("The access was granted at {host}; the connector now leads to another host.",
        "Authorize again, or correct parameters and Connector; a grant never moves to another host by itself."),
    Reason.NO_REFRESH_TOKEN: _consent("The provider gave no refresh token, so the access ends with the token.",
        "Ask for offline access (scope or app setting), then authorize again."),
    Reason.REFRESH_OUTCOME_UNKNOWN: Entry(_TOKEN, Retry.TRANSIENT, stalled=False,
        message="A refresh got no answer, and a repetition could end the grant; it is made shortly before expiry.",
        hint="Nothing to do now; status.nextRefreshAt has the time."),
    Reason.KEYRING_LOST: Entry(_AUTH, Retry.SOURCE, stalled=True,
        message="The key that this grant is encrypted with is not in the keyring.",
        hint="Restore the keyring's Secret from its backup; a new one is never made in its place."),
    Reason.STATE_INVALID: Entry(_AUTH, Retry.SOURCE, stalled=True,
        message="The stored grant cannot be opened: it was changed or belongs to another Connection.",
        hint="Restore its Secret from a backup, or delete it and authorize again."),
    Reason.STATE_NOT_ADOPTED: Entry(_AUTH, Retry.SOURCE, stalled=True,
        message="A stored grant of this name belongs to another install or an earlier object.",
        hint="The platform team adopts it (docs/security.md), or somebody authorizes again."),
    Reason.VERIFIED: _good(Condition.VERIFIED, "{host} takes what is published."),
    Reason.VERIFICATION_REFUSED: _verification("{host} refuses what is published.",
        "Correct the credential at its source; a token is fetched once more by itself."),
    Reason.VERIFICATION_FORBIDDEN: _verification(
        "{host} knows what is published and forbids the request that tests it.",
        "Nothing to do if workloads need less than that; otherwise grant the permission at the product."),
    Reason.VERIFICATION_UNANSWERED: _verification("{host} does not say whether what is published works.",
        "Nothing to do; it is asked again."),
    Reason.ISSUER_UNREACHABLE: _issuer("The issuer's host {host} does not serve (status: {status}).",
        "Nothing to do if it lasts a moment; set spec.jwks for an issuer that cannot be reached from here.",
        stalled=False),
    Reason.ISSUER_TLS_FAILED: _issuer("The certificate of the issuer's host {host} is not trusted or not for its name.",
        "For a private CA set spec.caBundle to the CA that signed it."),
    Reason.ISSUER_DOCUMENT_MISSING: _issuer("The issuer's host {host} does not give the {document} (status {status}).",
        "Compare spec.issuer with `iss` of its tokens; redirects are not followed. Or set spec.jwksURI or spec.jwks."),
    Reason.ISSUER_MISMATCH: _issuer("The discovery document at {host} is that of another issuer than spec.issuer.",
        "Write spec.issuer exactly as its tokens have it in `iss`; a slash at the end counts."),
    Reason.ISSUER_DISCOVERY_INVALID: _issuer("The issuer's discovery document at {host} cannot be used: {what}.",
        "Check that spec.issuer is the issuer's address, or set spec.jwksURI."),
    Reason.ISSUER_KEYS_INVALID: _issuer("The issuer's keys at {host} cannot be used: {what}.",
        "The issuer mends them; or set spec.jwks to the keys that you trust."),
    Reason.SECRET_CONFLICT: Entry(_SECRET, Retry.SOURCE, stalled=True,
        message="The Secret {secret} exists and is not this Connection's.",
        hint="Choose another spec.secret.name, or delete that Secret."),
    Reason.COPY_CONFLICT: Entry(_SECRET, Retry.SOURCE, stalled=True,
        message="The token copy {secret} is kept by another install of Lanyard.",
        hint="The platform team deletes it, or gives each install an exchange namespace of its own."),
    Reason.SECRET_REFUSED: Entry(_SECRET, Retry.TRANSIENT, stalled=False,
        message="The API server refused the Secret {secret} (status {status}).",
        hint="Check quotas, admission policies and the operator's rights in this namespace."),
    Reason.KUBERNETES_UNAVAILABLE: Entry(_READY, Retry.TRANSIENT, stalled=False,
        message="The API server does not answer.", hint="Nothing to do; Lanyard goes on trying."),
    Reason.INTERNAL_ERROR: Entry(_READY, Retry.TRANSIENT, stalled=False,
        message="Lanyard met a fault of its own: {fault}.",
        hint="Please report it with the operator's log of this moment; Lanyard goes on trying."),
}
# fmt: on
