// Finding, listening, asking: what every other module stands on. Knows no page.

export const page = document.documentElement;

export const find = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];
export const number = (value) => new Intl.NumberFormat(page.lang || undefined).format(value);
export const plainClick = (e) => e.button === 0 && !e.ctrlKey && !e.metaKey && !e.shiftKey && !e.altKey;
export const fillable = 'input:not([type="hidden"]), select, textarea, summary';

// One listener for all elements of a kind, whenever they arrive.
export function on(type, selector, handler, capture = false) {
  document.addEventListener(type, (e) => {
    const hit = e.target.closest?.(selector);
    if (hit) handler(e, hit);
  }, capture);
}

// Readers hear a sentence once more even when it is the same as before.
export function announce(text) {
  const live = document.getElementById("live");
  if (!live || !text) return;
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 50);
}

// A redirect means the session ended or the page moved: such an answer is no fragment.
export async function ask(url, options = {}) {
  const headers = { "X-Requested-With": "fetch", ...options.headers };
  const answer = await fetch(url, { credentials: "same-origin", ...options, headers });
  if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
  return answer;
}

// Waits until someone pauses, then runs; whatever runs already for the same thing is overtaken.
const pending = new WeakMap();
export function later(thing, wait, work) {
  const before = pending.get(thing);
  clearTimeout(before?.timer);
  before?.control.abort();
  const control = new AbortController();
  pending.set(thing, { control, timer: setTimeout(work, wait, control.signal) });
}

// HTML of our own origin as nodes; scripts in it never run.
export const parse = (html) => new DOMParser().parseFromString(html, "text/html");

// Replaces what stands in `target`, so that whoever reads or fills in there notices only the new figures.
export function swap(target, html) {
  const fresh = parse(html);
  const nodes = (target.id && fresh.getElementById(target.id) || fresh.body).childNodes;
  const focusables = () => all(`a[href], button, ${fillable}`, target);
  const active = target.contains(document.activeElement) ? document.activeElement : null;
  const index = focusables().indexOf(active);
  const open = all("details", target).map((details) => details.open);
  const scroll = [target.scrollTop, window.scrollX, window.scrollY];
  target.replaceChildren(...nodes);
  all("details", target).forEach((details, i) => { if (i < open.length) details.open = open[i]; });
  if (active && active !== target) {
    const heir = active.id ? document.getElementById(active.id) : focusables().find((el) => active.name && el.name === active.name) || focusables()[index];
    if (heir?.matches("select") && [...heir.options].some((option) => option.value === active.value)) heir.value = active.value;
    heir?.focus({ preventScroll: true });
  }
  target.scrollTop = scroll[0];
  window.scrollTo({ left: scroll[1], top: scroll[2], behavior: "instant" });
  enhance(target);
}

// Opens whatever hides a field: a folded part, a part that another choice hides.
export function reveal(field) {
  for (let el = field; el; el = el.parentElement) {
    if (el.matches("details")) el.open = true;
    if (el.matches("[data-when]")) el.hidden = false;
  }
}

// What a part of a page needs of its own, whether it came with the page or later: `prepare` meets every
// element of a kind each time, or once in its life. Without a selector it runs once for the whole part.
const kinds = [];
const seen = new WeakSet();

export function onParts(selector, prepare, once = false) {
  kinds.push({ selector, prepare, once });
}

export function enhance(root) {
  for (const { selector, prepare, once } of kinds) {
    if (!selector) { prepare(); continue; }
    all(selector, root).forEach((el) => {
      if (once && seen.has(el)) return;
      if (once) seen.add(el);
      prepare(el);
    });
  }
}
