// What the figures say, in words. Nothing here touches the page.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function count(number, one, many = `${one}s`) {
  return `${NUMBER.format(number)} ${number === 1 ? one : many}`;
}

export function figure(number) {
  return number > 0 && number < 10 ? FINE.format(number) : NUMBER.format(number);
}

export function listOf(names, most = 4) {
  const shown = names.length > most + 1 ? [...names.slice(0, most), `${names.length - most} more`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

export function millis(ms) {
  return ms === null || ms === undefined ? "–"
    : ms < 1000 ? `${NUMBER.format(ms)} ms` : `${FINE.format(ms / 1000)} s`;
}

// Never "0 %" for what happened, nor "100 %" for what did not always.
export function percent(part, whole) {
  if (whole === 0 || part === 0) {
    return "0 %";
  }
  const share = (part / whole) * 100;
  return share < 0.1 ? "< 0.1 %" : share > 99.9 && part < whole ? "> 99.9 %"
    : `${share < 10 ? FINE.format(share) : NUMBER.format(share)} %`;
}

export function lasting(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (days > 0) {
    return hours > 0 && days < 10 ? `${days} d ${hours} h` : `${days} d`;
  }
  if (hours > 0) {
    return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  }
  return s >= 60 ? `${minutes} min` : `${s} s`;
}

const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const LONG_DATE = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });

export function exactClock(ms) {
  return FULL.format(ms);
}

export function hourClock(ms) {
  return HOUR.format(ms);
}

// "03:12" today, "Tue 03:12" this week, "3 Nov 03:12" before.
export function clock(ms, nowMs) {
  if (new Date(ms).toDateString() === new Date(nowMs).toDateString()) {
    return HOUR.format(ms);
  }
  return `${(nowMs - ms < 6 * 86400e3 ? DAY : DATE).format(ms)} ${HOUR.format(ms)}`;
}

export const weekday = (ms) => DAY.format(ms);

export function dayName(ms, nowMs) {
  const today = new Date(nowMs).toDateString();
  const yesterday = new Date(nowMs - 86400e3).toDateString();
  const day = new Date(ms).toDateString();
  return day === today ? "Today" : day === yesterday ? "Yesterday" : LONG_DATE.format(ms);
}

// The gateway's own words for failures, as people say them.
const PLAIN = {
  connect_refused: "connection refused", connect_timeout: "no connection in time", unreachable: "host unreachable",
  dns_failed: "name not found (DNS)", tls_failed: "TLS failed", reset: "connection reset",
  closed: "connection closed without an answer", truncated: "answer cut short",
  first_token_timeout: "no first token in time", stall: "tokens stopped coming", too_slow: "tokens came too slowly",
  send_timeout: "does not read its requests", total_timeout: "out of time", context_exceeded: "request too long for it",
  error_in_body: "error instead of an answer", error_in_stream: "error in mid-answer",
  queue_full: "the queue was full", queue_timeout: "no slot in time", all_backends_unavailable: "all backends were unavailable",
  aborted: "aborted by the backend", not_json: "answer is no JSON", empty_body: "empty answer",
  no_finish: "answer without an end", bad_response: "answer is no HTTP", seam_mismatch: "could not go on where it broke",
  too_large: "answer too large", gpu_down: "its GPU is gone", no_fds: "out of file descriptors", cancelled: "cancelled",
};
const KNOWN = new RegExp(`\\b(${Object.keys(PLAIN).filter((word) => word.includes("_")).join("|")})\\b`, "g");

export function plain(word) {
  return PLAIN[word] ?? (/^http_\w+$/.test(word) ? `HTTP ${word.slice(5)}` : /^\w+$/.test(word) ? word.replaceAll("_", " ") : word);
}

export function plainText(text) {
  return text.replace(/: (reset|closed|truncated|stall|aborted|unreachable)\b/g, (_, word) => `: ${PLAIN[word]}`)
    .replace(KNOWN, (word) => PLAIN[word]).replace(/\bhttp_(\w+)/g, "HTTP $1");
}

export function sentence(text) {
  return text.length > 0 ? text[0].toUpperCase() + text.slice(1) : text;
}
