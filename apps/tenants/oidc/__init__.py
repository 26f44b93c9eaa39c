"""Single sign-on by OpenID Connect: allauth's provider, held to the letter of the protocol.

allauth's own leaves out what it may where it trusts the channel. Here nothing is trusted but the provider's signature:
the answer must carry an ID token, signed by one of the issuer's published keys with an asymmetric algorithm, issued by
exactly ``OIDC_ISSUER``, for this client, for this login (nonce), and still valid. A person is issuer + subject.
"""
