// The hub's protocol as a page speaks it: requests with whatever opened the page, and the websocket of events.

const API = new URL("api/", location.href.replace(/[?#].*/, ""));
const LONGEST_WAIT = 10_000;  // ms until the next attempt at the websocket

/** The token of the address, which leaves the address bar and the history with this. */
function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token !== null) {
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return token;
}

const token = takeToken();

function headers() {
  if (token) return { Authorization: `token ${token}` };
  const xsrf = /(?:^|;\s*)_xsrf=([^;]*)/.exec(document.cookie);
  return xsrf ? { "X-XSRFToken": decodeURIComponent(xsrf[1]) } : {};
}

/** The answer to a request. Throws an Error with the hub's own reason. */
export async function ask(method, path, body) {
  const options = { method, headers: { Accept: "application/json", ...headers() }, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(new URL(path, API), options);
  } catch {
    throw new Error("the hub does not answer");
  }
  const found = await answer.json().catch(() => null);
  if (answer.ok && found !== null) return found;
  throw new Error(found?.error ?? found?.message ?? `${answer.status} ${answer.statusText}`);
}

/**
 * Listen to the events for as long as the page lives. `onEvent` is called with each, `onLink` with whether there is a
 * connection whenever that changes, and `onLost` when events may have been missed, or cannot be had: look at the state.
 */
export function listen({ onEvent, onLink, onLost }) {
  let wait = 1000;
  const open = () => {
    const address = new URL("events", API);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    if (token) address.searchParams.set("token", token);
    const socket = new WebSocket(address);
    socket.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.entity !== "bus") return onEvent(event);
      if (event.op === "hello") {
        wait = 1000;
        onLink(true);
      }
      onLost();
    };
    socket.onclose = () => {
      onLink(false);
      onLost();
      setTimeout(open, wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    };
  };
  open();
}
