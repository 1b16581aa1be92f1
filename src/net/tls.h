#pragma once

#include <stdbool.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"

/*
 * TLS settings of both sides (OpenSSL 3): TLS 1.2 and newer, ALPN http/1.1, certificates of
 * backends verified against the system's CAs or the configured file, with their name. Made at
 * start, shared by all threads.
 */

/* For listening. *why: one line for people (OpenSSL's own words), static or thread-local. */
NODISCARD enum err tls_server_new(struct str cert_file, struct str key_file, SSL_CTX **out,
                                  const char **why);

/* For a backend. Empty ca: the system's; empty cert and key: no client certificate. */
NODISCARD enum err tls_client_new(struct str ca_file, struct str cert_file, struct str key_file,
                                  SSL_CTX **out, const char **why);
