#pragma once

#include <openssl/ssl.h>

#include "agent/agent_core.h"
#include "net/http_server.h"

/*
 * The agent's port: GET /gpu, /metrics, /health, and POST /clear?gpu=UUID|BDF|all. With a token
 * every request but /health must carry it. Without one the port is bound to loopback, and a
 * Host that is not a loopback name is refused, as is a POST that a web page may have sent.
 *
 * GET /gpu?wait=30s&after=SEQ answers when `seq` is not (or no longer) SEQ, at the end of the
 * wait at the latest.
 */

enum { AGENT_WAIT_MAX_MS = 60 * 1000 };

struct agent_http;

/* `fd` is bound and listening, and borrowed. */
struct agent_http *agent_http_start(struct agent_core *core, int fd, SSL_CTX *tls);
void agent_http_stop(struct agent_http **h);

/* seq has moved on: those who wait get their answer. */
void agent_http_wake(struct agent_http *h);
