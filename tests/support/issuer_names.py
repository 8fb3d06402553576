"""Names of issuers that the kind takes, and that it refuses: one table for our own check and for the API server's."""

TAKEN = (
    "https://idp.example.com",
    "https://login.example.com/tenant/v2.0/",
    "https://idp.example.com:8443/realms/a",
    "https://[2001:db8::1]/a",
    "http://127.0.0.1:8080/a",
    "http://localhost",
    "http://[::1]:80/",
    "https://a.example/~x;y=1/%7B",
)
REFUSED = (
    "http://idp.example.com",
    "ftp://idp.example.com",
    "idp.example.com",
    "https://IDP.example.com",
    "https://user@idp.example.com",
    "https://idp.example.com?x=1",
    "https://idp.example.com/#a",
    "https://idp.example.com:443",
    "https://idp.example.com:443/a",
    "https://idp.example.com//a",
    "https://idp.example.com/a/../b",
    "https://idp.example.com/./b",
    "https://-idp.example.com",
    "https://idp.example.com:123456",
    "https://",
    "https:///a",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example/a",
    "https://idp.example.com\\a",
)
