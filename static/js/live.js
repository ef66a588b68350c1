// What changes by itself: figures of something under way, and waiting.

import { all, announce, ask, find, onParts, swap } from "./dom.js";
import { isDirty } from "./forms.js";

// Figures of something under way stay true without reloading; nobody looking means nothing asked.
function poll(place) {
  const url = place.dataset.poll;
  const every = Number(place.dataset.every) || 2000;
  let last = null;
  let busy = false;
  let timer;
  const next = (wait) => { clearTimeout(timer); timer = setTimeout(tick, wait); };
  const settle = () => {
    if (find("dialog[open]") || all("form[data-dirty]").some(isDirty)) { setTimeout(settle, 1000); return; }
    const key = `settled ${location.pathname} ${url}`;
    if (Date.now() - Number(sessionStorage.getItem(key)) < 30000) return;
    sessionStorage.setItem(key, String(Date.now()));
    location.reload();
  };
  const tick = async () => {
    if (!place.isConnected || document.hidden || busy) return;
    busy = true;
    let wait = every;
    try {
      const answer = await ask(url);
      const html = await answer.text();
      if (html !== last && place.isConnected) swap(place, html);
      last = html;
      tell(place);
      const settled = answer.headers.get("X-Settled");
      if (settled) document.removeEventListener("visibilitychange", wake);
      if (settled === "1") settle();
      if (settled) return;
      wait = Number(answer.headers.get("X-Again")) || every;
    } catch {
      wait = Math.max(every, 10000);
    }
    busy = false;
    next(wait);
  };
  const wake = () => { if (!document.hidden) next(0); };
  document.addEventListener("visibilitychange", wake);
  tell(place);
  next(every);
}

// Readers hear what the next message waits for when that has become another reason, at most every 10 s.
const told = new WeakMap();
function tell(place) {
  const text = find("[data-say]", place)?.textContent.trim();
  const before = told.get(place);
  if (!text || before?.text === text || Date.now() - (before?.at || 0) < 10000) return;
  told.set(place, { text, at: Date.now() });
  if (before) announce(text);
}

// Waiting is easier when one sees until when.
function countdown(place) {
  const left = Math.max(0, Math.round((Date.parse(place.dataset.countdown) - Date.now()) / 1000));
  if (Number.isNaN(left)) return;
  const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, String(left % 60).padStart(2, "0")];
  const text = h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
  if (place.textContent !== text) place.textContent = text;
}

export function countdowns() {
  setInterval(() => all("[data-countdown]").forEach(countdown), 1000);
}

onParts("[data-countdown]", countdown);
onParts("[data-poll]", poll, true);
