// Building and bringing up to date. Names and words from outside become text and attributes, never
// markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") {
      node.append(child instanceof Node ? child : String(child));
    }
  }
  return node;
}

export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// What the reader did to an element is his: whether a <details> is open, what a field holds.
const OWN = { DETAILS: ["open"], INPUT: ["value"] };

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}

function isAlike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

function morphAttributes(now, next) {
  const own = OWN[now.nodeName] ?? [];
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && !own.includes(name)) {
      now.removeAttribute(name);
    }
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value && !own.includes(name)) {
      now.setAttribute(name, value);
    }
  }
}

function morph(now, next) {
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.data !== next.data) {
      now.data = next.data;
    }
    return;
  }
  morphAttributes(now, next);
  morphChildren(now, [...next.childNodes]);
}

function morphChildren(now, wanted) {
  const keyed = new Map();
  for (const child of now.childNodes) {
    if (keyOf(child) !== null) {
      keyed.set(keyOf(child), child);
    }
  }
  let at = now.firstChild;
  for (const next of wanted) {
    const old = keyOf(next) !== null ? keyed.get(keyOf(next)) : at;
    if (old && old.parentNode === now && isAlike(old, next)) {
      morph(old, next);
      if (old === at) {
        at = at.nextSibling;
      } else {
        now.insertBefore(old, at);
      }
    } else {
      now.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// Makes `into` show these, and leaves alone what is the same: focus, selection and open details
// stay where they are.
export function show(into, ...children) {
  const next = fill(document.createElement("div"), null, children);
  morphChildren(into, [...next.childNodes]);
}
