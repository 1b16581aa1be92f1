// What is asked of the gateway. A token, where one is needed, lives as long as the tab.

const KEY = "fallthrough-admin-token";

export class NeedsToken extends Error {}
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function setToken(token) {
  if (token) {
    sessionStorage.setItem(KEY, token);
  } else {
    sessionStorage.removeItem(KEY);
  }
}

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

function headers(more) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function ask(path, options) {
  const answer = await fetch(path, {
    cache: "no-store", credentials: "omit", redirect: "error", ...options,
  });
  if (answer.status === 401) {
    throw new NeedsToken();
  }
  if (!answer.ok) {
    let message = `the gateway answered ${answer.status}`;
    try {
      message = (await answer.json()).error.message ?? message;
    } catch {
      // The status alone has to do.
    }
    throw new Refused(answer.status, message);
  }
  return answer;
}

export async function getJson(path, limitMs = 8000) {
  const answer = await ask(path, { headers: headers({}), signal: AbortSignal.timeout(limitMs) });
  return answer.json();
}

// The header is one that no other site can send.
export async function postAction(path) {
  await ask(path, {
    method: "POST", headers: headers({ "X-Fallthrough-Action": "1" }), signal: AbortSignal.timeout(8000),
  });
}

function eventOf(block) {
  const lines = block.split("\n").filter((line) => line.startsWith("data:"));
  return lines.length > 0 ? JSON.parse(lines.map((line) => line.slice(5)).join("\n")) : null;
}

// Reads live events until the stream ends. By fetch, for an EventSource cannot carry a token.
export async function followEvents(after, signal, onEvent) {
  const answer = await ask(`/events?stream=true&after=${after}`, {
    headers: headers({ Accept: "text/event-stream" }), signal,
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const event of blocks.map(eventOf)) {
      if (event) {
        onEvent(event);
      }
    }
  }
}
