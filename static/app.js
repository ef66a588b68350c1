// Behaviours of the panel. Every page works without them; each here only makes a page nicer to use.
// Most listen on the document, so parts that come later have them too; enhance(root) does the rest.
// No text for people stands here: it comes from data attributes and from the page.
(() => {
"use strict";

const page = document.documentElement;
page.classList.add("js");

// ---------- helpers ----------

const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const number = (value) => new Intl.NumberFormat(page.lang || undefined).format(value);
const plainClick = (e) => e.button === 0 && !e.ctrlKey && !e.metaKey && !e.shiftKey && !e.altKey;
const fillable = 'input:not([type="hidden"]), select, textarea, summary';

// One listener for all elements of a kind, whenever they arrive.
function on(type, selector, handler, capture = false) {
  document.addEventListener(type, (e) => {
    const hit = e.target.closest?.(selector);
    if (hit) handler(e, hit);
  }, capture);
}

// Readers hear a sentence once more even when it is the same as before.
function announce(text) {
  const live = document.getElementById("live");
  if (!live || !text) return;
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 50);
}

// A redirect means the session ended or the page moved: such an answer is no fragment.
async function ask(url, options = {}) {
  const headers = { "X-Requested-With": "fetch", ...options.headers };
  const answer = await fetch(url, { credentials: "same-origin", ...options, headers });
  if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
  return answer;
}

// Waits until someone pauses, then runs; whatever runs already for the same thing is overtaken.
const pending = new WeakMap();
function later(thing, wait, work) {
  const before = pending.get(thing);
  clearTimeout(before?.timer);
  before?.control.abort();
  const control = new AbortController();
  pending.set(thing, { control, timer: setTimeout(work, wait, control.signal) });
}

// HTML of our own origin as nodes; scripts in it never run.
const parse = (html) => new DOMParser().parseFromString(html, "text/html");

// Replaces what stands in `target`, so that whoever reads or fills in there notices only the new figures.
function swap(target, html) {
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
function reveal(field) {
  for (let el = field; el; el = el.parentElement) {
    if (el.matches("details")) el.open = true;
    if (el.matches("[data-when]")) el.hidden = false;
  }
}

// ---------- menus, dialogs, small things ----------

// Menus close as people expect of menus; `name` already keeps one open at a time.
function menus() {
  const folding = "details.menu[open], details.facetbox[open], details.pick[open]";
  document.addEventListener("click", (e) => all(folding).forEach((menu) => { if (!menu.contains(e.target)) menu.open = false; }));
  document.addEventListener("keydown", (e) => {
    const inner = all(folding).pop();
    if (e.key !== "Escape" || e.isComposing || !inner) return;
    if (find("dialog[open]") && !inner.closest("dialog[open]")) return;
    e.preventDefault();
    inner.open = false;
    find("summary", inner).focus();
  });
}

// Dialogs open over the page; without script their links lead to the same place.
function dialogs() {
  on("click", 'a[href="#shortcuts"]', (e, link) => { e.preventDefault(); leaveMenu(link); showShortcuts(); });
  on("click", "dialog [data-close]", (e, button) => { e.preventDefault(); button.closest("dialog").close(); });
  on("click", "dialog", (e, dialog) => { if (e.target === dialog) dialog.close(); });
}

function showShortcuts() {
  const dialog = document.getElementById("shortcuts");
  if (dialog?.showModal && !dialog.open) dialog.showModal();
}

// A menu that led to something is done; focus rests on it, so that it comes back there.
function leaveMenu(link) {
  const menu = link.closest("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  find("summary", menu).focus();
}

// A question is asked where one stands; when anything fails, the link leads to its page.
function confirms() {
  on("click", "a[data-confirm]", async (e, link) => {
    if (!plainClick(e) || typeof HTMLDialogElement !== "function") return;
    e.preventDefault();
    if (link.hasAttribute("aria-busy")) return;
    link.setAttribute("aria-busy", "true");
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), 8000);
    try {
      const answer = await ask(link.href, { signal: patience.signal });
      const section = document.importNode(find("[data-dialog]", parse(await answer.text())), true);
      const dialog = document.createElement("dialog");
      dialog.className = "dialog-modal";
      dialog.setAttribute("aria-labelledby", section.getAttribute("aria-labelledby") || "");
      section.removeAttribute("aria-labelledby");
      dialog.append(section);
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      leaveMenu(link);
      enhance(dialog);
      dialog.showModal();
      find("[data-close]", dialog)?.focus();
    } catch {
      location.assign(link.href);
    }
    clearTimeout(timer);
    link.removeAttribute("aria-busy");
  });
}

// Long texts are copied whole; outside https the clipboard is reached the old way.
function copying() {
  on("click", "[data-copy]", async (e, button) => {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "sr";
      button.after(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      button.focus();
      if (!copied) return;
    }
    const said = document.body.dataset.copied;
    announce(said);
    if (!said || button.classList.contains("is-copied")) return;
    const before = ["title", "aria-label"].map((name) => [name, button.getAttribute(name)]);
    before.forEach(([name]) => button.setAttribute(name, said));
    button.classList.add("is-copied");
    setTimeout(() => {
      before.forEach(([name, value]) => value === null ? button.removeAttribute(name) : button.setAttribute(name, value));
      button.classList.remove("is-copied");
    }, 2000);
  });
}

// The colours change under the pointer instead of after a page load.
function themes() {
  on("submit", "form[data-theme-switch]", (e, form) => {
    const button = e.submitter;
    if (!button?.name) return;
    e.preventDefault();
    page.dataset.bsTheme = button.value;
    all(`button[name="${button.name}"]`, form).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    const body = new URLSearchParams(new FormData(form));
    body.set(button.name, button.value);
    fetch(form.getAttribute("action"), { method: "POST", body, credentials: "same-origin", redirect: "manual", headers: { "X-Requested-With": "fetch" } })
      .then((answer) => { if (!answer.ok && answer.type !== "opaqueredirect") throw new Error(String(answer.status)); })
      .catch(() => {
        form.append(Object.assign(document.createElement("input"), { type: "hidden", name: button.name, value: button.value }));
        form.submit();
      });
  });
}

// What was done needs no click to go away; what went wrong stays.
function toast(note) {
  const close = find("[data-close]", note);
  close?.addEventListener("click", (e) => { e.preventDefault(); note.remove(); });
  if (note.getAttribute("role") === "alert") return;
  let timer;
  const rest = () => clearTimeout(timer);
  const run = () => { rest(); if (!note.matches(":hover, :focus-within")) timer = setTimeout(() => note.remove(), 6000); };
  note.addEventListener("pointerenter", rest);
  note.addEventListener("focusin", rest);
  note.addEventListener("pointerleave", () => setTimeout(run));
  note.addEventListener("focusout", () => setTimeout(run));
  run();
}

// A choice that is the whole form needs no button.
function submitOnChange() {
  on("change", "[data-submit-on-change]", (e, field) => field.form?.requestSubmit());
}

// After a fault people start where it is named, and its links lead into the field.
function faults() {
  find("[data-focus]")?.focus();
  on("click", '[data-focus] a[href^="#"]', (e, link) => {
    const place = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    const field = place?.matches(fillable) ? place : place && find(fillable, place);
    if (!field) return;
    e.preventDefault();
    reveal(field);
    field.focus();
    place.scrollIntoView({ block: "center" });
  });
  document.addEventListener("invalid", (e) => reveal(e.target), true);
}

// "Back" keeps the search and the place in the list that one came from.
function back() {
  on("click", "a[data-back]", (e) => {
    if (!plainClick(e) || history.length < 2 || !document.referrer || new URL(document.referrer).origin !== location.origin) return;
    e.preventDefault();
    history.back();
  });
}

// ---------- keyboard ----------

// Single keys rest while someone writes, answers a dialog or has switched them off.
function keyboard() {
  const places = { m: "/mailings", r: "/contacts", i: "/incoming", o: "/outgoing", s: "/jobs" };
  const press = (key) => find(`[data-key="${key}"]`)?.click();
  const keys = {
    "/": () => { const box = find('.search-slot input[type="search"], [role="search"] input[type="search"]'); box?.focus(); box?.select(); return box; },
    "?": () => { showShortcuts(); return true; },
    n: () => press("n"), "[": () => press("["), "]": () => press("]"),
    j: () => moveCursor(1), k: () => moveCursor(-1),
    x: () => find('td.check input[type="checkbox"]:enabled', cursor() || document.createElement("i"))?.click(),
  };
  let going = 0;
  document.addEventListener("keydown", (e) => {
    if (e.defaultPrevented || e.isComposing) return;
    const dialog = find("dialog[open]");
    if ((e.ctrlKey || e.metaKey) && !e.altKey) {
      if (e.key.toLowerCase() === "s" && !e.shiftKey) save(e, dialog);
      if (e.key === "Enter" && e.target.form?.matches("[data-reply]")) { e.preventDefault(); e.target.form.requestSubmit(); }
      return;
    }
    // The first Esc empties the field, the next leaves it.
    if (e.key === "Escape" && e.target.matches?.('input[type="search"]') && !e.target.value && !dialog) { e.target.blur(); return; }
    if (e.repeat && e.key !== "j" && e.key !== "k") return;
    const box = e.target.closest?.("table.list .check input");
    if (e.key === "Enter" && box) { e.preventDefault(); openRow(e, box.closest("tr")); return; }
    const writing = !box && e.target.closest?.('input, textarea, select, [contenteditable]:not([contenteditable="false"])');
    const modified = e.ctrlKey || e.metaKey || e.altKey;
    if (writing || dialog || modified && !e.getModifierState("AltGraph") || document.body.dataset.keys === "off") return;
    if (Date.now() - going < 1500 && places[e.key]) {
      going = 0;
      const link = find(`a[href="${places[e.key]}"]`);
      if (link) { e.preventDefault(); location.assign(link.href); }
    } else if (e.key === "g") {
      going = Date.now();
    } else if (e.key === "Enter" && cursor() && e.target === document.body) {
      openRow(e, cursor());
    } else if (Object.hasOwn(keys, e.key)) {
      going = 0;
      e.preventDefault();
      keys[e.key]();
    }
  });
}

// Ctrl+S saves the record instead of the page's HTML.
function save(e, dialog) {
  const forms = all("form[data-dirty]");
  const form = forms.find((one) => one === e.target.form) || forms.find(isDirty) || forms[0];
  if (!form) return;
  e.preventDefault();
  if (!dialog) form.requestSubmit();
}

const rowsOf = () => all("table.list tbody tr:not(.group)").filter((row) => find(":scope > th[scope=row]", row) && row.getClientRects().length);
const cursor = () => find("table.list tbody tr.cursor");

// The row one works on is seen and has the focus, so that Enter and readers agree with the eye.
function moveCursor(step) {
  const rows = rowsOf();
  const at = rows.indexOf(document.activeElement?.closest("table.list tbody tr:not(.group)") || cursor());
  const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  if (!row) return;
  all("tr.cursor").forEach((old) => old.classList.remove("cursor"));
  row.classList.add("cursor");
  const link = find("th[scope=row] a", row);
  if (link) link.focus({ preventScroll: true });
  else document.activeElement?.blur();
  row.scrollIntoView({ block: "nearest", behavior: "instant" });
}

// ---------- lists ----------

// A synthetic click keeps Ctrl: the browser then opens a new tab as for the link itself.
function openRow(e, row) {
  const { ctrlKey, metaKey, shiftKey } = e;
  find("th[scope=row] a", row)?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey, metaKey, shiftKey }));
}

// The whole row is as good as its link, and the cell around a box as good as the box.
function rows() {
  on("click", "table.list tbody tr:not(.group)", (e, row) => {
    if (e.defaultPrevented || e.target.closest("a, button, input, select, textarea, label, summary")) return;
    const box = e.target.closest("td.check") && find('td.check input[type="checkbox"]:enabled', row);
    if (box) box.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: e.shiftKey }));
    else if (getSelection().isCollapsed) openRow(e, row);
  });
}

const boxesOf = (root = document) => all('table.list td.check input[type="checkbox"]:enabled', root);
const everyBox = '.selbar input[type="checkbox"][name="all"]';

// Head box, ranges and the bar follow the boxes; the boxes alone are what is sent.
function selection() {
  let last = null;
  on("click", 'table.list td.check input[type="checkbox"]', (e, box) => {
    const boxes = boxesOf(box.closest("table")).filter((one) => one.getClientRects().length);
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
    if (e.shiftKey && from >= 0) {
      boxes.slice(from, to + 1).forEach((one) => { one.checked = box.checked; });
      getSelection().removeAllRanges();
    }
    last = box;
  });
  on("change", 'table.list td.check input[type="checkbox"]', (e, box) => {
    if (!box.checked) all(everyBox).forEach((every) => { every.checked = false; });
    showSelection();
  });
  on("change", "input[data-check-all]", (e, head) => {
    boxesOf(head.closest("table")).forEach((box) => { box.checked = head.checked; });
    if (!head.checked) all(everyBox).forEach((every) => { every.checked = false; });
    showSelection();
  });
  on("change", everyBox, (e, every) => {
    if (every.checked) boxesOf().forEach((box) => { box.checked = true; });
    showSelection();
  });
  on("click", "[data-clear-selection]", (e) => {
    e.preventDefault();
    [...boxesOf(), ...all(everyBox)].forEach((box) => { box.checked = false; });
    showSelection();
  });
  window.addEventListener("pageshow", showSelection);
}

function showSelection() {
  all("table.list").forEach((table) => {
    const boxes = boxesOf(table);
    const ticked = boxes.filter((box) => box.checked);
    boxes.forEach((box) => box.checked ? box.closest("tr").setAttribute("aria-selected", "true") : box.closest("tr").removeAttribute("aria-selected"));
    all("input[data-check-all]", table).forEach((head) => {
      head.checked = boxes.length > 0 && ticked.length === boxes.length;
      head.indeterminate = ticked.length > 0 && ticked.length < boxes.length;
    });
  });
  const count = boxesOf().filter((box) => box.checked).length;
  all("[data-selected]").forEach((text) => {
    const every = find(everyBox)?.checked && text.dataset.all;
    text.textContent = every || (count === 1 ? text.dataset.one : text.dataset.other).replace("{0}", number(count));
  });
}

// ---------- forms ----------

// A field is changed when it differs from what the server sent, in whatever way the browser writes that.
function isChanged(field) {
  if (!field.name || field.closest("[data-clean]") || document.getElementById(field.form.dataset.checkInto)?.contains(field)) return false;
  if (["hidden", "submit", "button", "reset", "image"].includes(field.type) || !("value" in field) || field.matches("output")) return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.type === "file") return field.files.length > 0;
  if (field.options) {
    const given = [...field.options].some((option) => option.defaultSelected) || field.multiple;
    return given ? [...field.options].some((option) => option.selected !== option.defaultSelected) : field.selectedIndex > 0;
  }
  const copy = field.cloneNode();
  copy.value = field.defaultValue;
  return field.value !== copy.value;
}

// A form that came back, with faults or after signing in, is not saved either.
const isDirty = (form) => Boolean(form.dataset.dirty) || new URLSearchParams(location.search).has("kept") || Boolean(find('[aria-invalid="true"], .fault-summary, .newer', form)) || [...form.elements].some(isChanged);

function showDirty(form) {
  const dirty = isDirty(form);
  all(".savebar[data-for]").forEach((bar) => { if (bar.dataset.for === form.getAttribute("id")) bar.classList.toggle("is-dirty", dirty); });
}

// Save stands out once there is something to save, and nobody loses work by a stray click.
function unsaved() {
  let leaving = false;
  const look = (e) => { const form = e.target.form || e.target; if (form.matches?.("form[data-dirty]")) setTimeout(showDirty, 0, form); };
  ["input", "change", "reset"].forEach((type) => document.addEventListener(type, look));
  on("click", "[data-discard]", (e) => { if (plainClick(e)) leaving = true; });
  window.addEventListener("beforeunload", (e) => {
    const lost = !leaving && all("form[data-dirty]").some((form) => !sent.has(form) && isDirty(form));
    leaving = false;
    if (!lost) return;
    e.preventDefault();
    e.returnValue = "";
    setTimeout(release, 100);
  });
  window.addEventListener("pageshow", () => all("form[data-dirty]").forEach(showDirty));
}

let sent = new WeakSet();

// A second press must not send twice; the pressed button's value is already on its way by then.
function onceOnly() {
  on("submit", "form", (e, form) => {
    if (e.defaultPrevented) return;
    const method = e.submitter?.getAttribute("formmethod") || form.getAttribute("method") || "get";
    const again = method.toLowerCase() !== "post" || form.hasAttribute("data-again");
    if (sent.has(form) && !again) { e.preventDefault(); return; }
    sent.add(form);
    if (again) { setTimeout(() => sent.delete(form), 1000); return; }
    setTimeout(() => {
      if (!sent.has(form)) return;
      [...form.elements].filter((el) => el.matches('button:not([type="button"]):enabled, input[type="submit"]:enabled')).forEach((button) => {
        button.dataset.sent = "";
        button.autocomplete = "off";
        button.disabled = true;
      });
    });
  });
  window.addEventListener("pageshow", (e) => { if (e.persisted) release(); });
}

// Back on the page, or still on it, everything can be pressed again.
function release() {
  sent = new WeakSet();
  all("[data-sent]").forEach((button) => { button.disabled = false; delete button.dataset.sent; });
}

// Only what the choice asks for is shown. Hidden fields keep their values, but may stay empty.
function showWhen(part) {
  const [, name, wanted] = part.dataset.when.match(/^([^=]*)=(.*)$/s) || [];
  const fields = [...(part.closest("form")?.elements || document.getElementsByName(name))].filter((field) => field.name === name);
  const chosen = fields.filter((field) => !["radio", "checkbox"].includes(field.type) || field.checked)
    .flatMap((field) => field.selectedOptions ? [...field.selectedOptions].map((option) => option.value) : field.value);
  part.hidden = !wanted?.split("|").some((value) => (chosen.length ? chosen : [""]).includes(value));
  all("[required], [data-required]", part).forEach((field) => {
    const needed = !field.closest("[data-when][hidden]");
    if (!needed && field.required) field.dataset.required = "";
    if (needed === field.required || needed && field.dataset.required === undefined) return;
    field.required = needed;
  });
}

function conditions() {
  const look = () => { all("[data-when]").forEach(showWhen); all("[data-editor]").forEach(countLeft); };
  ["change", "reset"].forEach((type) => document.addEventListener(type, () => setTimeout(look)));
  window.addEventListener("pageshow", look);
}

// Figures follow what is written; the old ones stay until newer ones are there.
function liveChecks() {
  const asked = new WeakMap();
  const look = (e) => {
    const form = e.target.form;
    const target = form?.dataset.check && e.target.name && document.getElementById(form.dataset.checkInto);
    if (!target) return;
    const body = new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string")).toString();
    if (asked.get(form) === body) return;
    asked.set(form, body);
    target.classList.add("stale");
    later(form, 400, (signal) => check(form, target, body, signal));
  };
  const check = async (form, target, body, signal) => {
    const verdict = () => find(".verdict", target)?.textContent;
    try {
      const headers = { "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8" };
      const answer = await ask(form.dataset.check, { method: "POST", body, headers, signal });
      const html = await answer.text();
      if (answer.status !== 200) throw new Error(String(answer.status));
      if (signal.aborted) return;
      const before = verdict();
      swap(target, html);
      if (verdict() !== before) announce(verdict());
    } catch {
      if (signal.aborted) return;
      asked.delete(form);
    }
    target.classList.remove("stale");
  };
  ["input", "change"].forEach((type) => document.addEventListener(type, look));
}

// ---------- writing messages ----------

const lastField = new WeakMap();
const canTakeText = (field) => field?.isConnected && !field.disabled && !field.readOnly && field.selectionStart != null && field.getClientRects().length > 0;

function put(field, text, mode = "end", start = field.selectionStart, end = field.selectionEnd) {
  field.focus();
  field.setRangeText(text, start, end, mode);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

// Marks and placeholders come from buttons, so that nobody has to know how they are written.
function editors() {
  on("focusin", 'textarea, input[name="subject"], input[name="header"], input[name="footer"]', (e, field) => { if (field.form && canTakeText(field)) lastField.set(field.form, field); });
  on("click", "[data-editor] [data-wrap]", (e, button) => {
    const field = find("textarea", button.closest("[data-editor]"));
    const mark = button.dataset.wrap;
    const [start, end] = [field.selectionStart, field.selectionEnd];
    const text = field.value.slice(start, end);
    if (!text.trim()) {
      put(field, mark + mark, "end", end, end);
      field.setSelectionRange(end + mark.length, end + mark.length);
    } else if (text.length > 2 * mark.length && text.startsWith(mark) && text.endsWith(mark)) {
      put(field, text.slice(mark.length, -mark.length), "select", start, end);
    } else {
      // WhatsApp reads marks only within a line and without a space inside them
      put(field, text.replace(mark.length > 1 ? /\S.*\S|\S/s : /\S.*\S|\S/g, (words) => mark + words + mark), "select", start, end);
    }
  });
  on("click", "button[data-insert]", (e, button) => {
    const editor = button.closest("[data-editor]");
    const form = editor ? button.form : document.getElementById("mailing");
    const last = form && lastField.get(form);
    const field = canTakeText(last) ? last : find("textarea", editor || form || document.createElement("i"));
    if (!field) return;
    leaveMenu(button);
    put(field, button.dataset.insert);
  });
  on("input", "[data-editor] textarea", (e, field) => countLeft(field.closest("[data-editor]")));
}

// How much may still be written is said while writing, not after sending.
function countLeft(editor) {
  const field = find("textarea[data-count]", editor);
  const counter = find("[data-counter]", editor);
  if (!field || !counter) return;
  // Under a file less fits.
  const form = field.form;
  const file = form?.dataset.caption && find('input[name="header_type"]:checked', form)?.value.match(/^(image|video|document)$/);
  const left = Number(file ? form.dataset.caption : field.dataset.count) - [...field.value].length;
  counter.textContent = number(left);
  counter.classList.toggle("bad", left < 0);
}

// ---------- picking many out of many ----------

function showChips(pick) {
  const chips = all('.pick-rows input[type="checkbox"]:checked', pick).map((box) => {
    const chip = document.createElement("span");
    chip.className = `tag tag-${pick.dataset.hue || "teal"}`;
    chip.textContent = box.closest("label").textContent.trim();
    return chip;
  });
  find(".chips", pick)?.replaceChildren(...chips);
}

function showNone(pick, none) {
  const sentence = find(".pick-none", pick);
  if (sentence) sentence.hidden = !none;
}

// Further rows replace those that were not ticked: a tick is never lost by searching on.
async function askRows(pick, words, signal) {
  try {
    const source = pick.dataset.source;
    const answer = await ask(`${source}${source.includes("?") ? "&" : "?"}q=${encodeURIComponent(words)}`, { signal });
    const fresh = all("label", parse(await answer.text())).filter((row) => find("input", row));
    if (signal.aborted) return;
    const list = find(".pick-rows", pick);
    const kept = all("label", list).filter((row) => find("input", row).checked);
    const values = new Set(kept.map((row) => find("input", row).value));
    list.replaceChildren(...kept, ...fresh.filter((row) => !values.has(find("input", row).value)));
    showNone(pick, fresh.length === 0);
  } catch { /* the rows that stand there stay */ }
}

// Chips say what is chosen, and a search finds one row among thousands.
function picks() {
  on("change", "[data-pick] .pick-rows input", (e, box) => showChips(box.closest("[data-pick]")));
  document.addEventListener("reset", (e) => setTimeout(() => all("[data-pick]", e.target).forEach(showChips)));
  on("toggle", "[data-pick][open]", (e, pick) => find("[data-pick-search]", pick)?.focus(), true);
  on("input", "[data-pick-search]", (e, search) => {
    const pick = search.closest("[data-pick]");
    const words = search.value.trim();
    if (pick.dataset.source) { later(pick, 250, (signal) => askRows(pick, words, signal)); return; }
    const wanted = words.toLocaleLowerCase();
    all(".pick-rows label", pick).forEach((row) => { row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted); });
    showNone(pick, !find(".pick-rows label:not([hidden])", pick));
  });
  on("keydown", "[data-pick-search]", (e, search) => {
    if (e.key !== "Enter" || e.isComposing) return;
    e.preventDefault();
    const hits = all(".pick-rows label:not([hidden])", search.closest("[data-pick]")).filter((row) => !find("input", row).checked);
    if (search.value.trim() && hits.length === 1) find("input", hits[0]).click();
  });
}

// ---------- files ----------

function showFile(input) {
  const place = find("[data-drop-name]", input.closest(".drop") || input.form || document);
  if (!place || !input.files.length) return;
  const size = (bytes) => {
    const [unit, by] = bytes < 1e6 ? ["kilobyte", 1e3] : ["megabyte", 1e6];
    return new Intl.NumberFormat(page.lang || undefined, { style: "unit", unit, maximumFractionDigits: bytes < 1e5 || by > 1e3 ? 1 : 0 }).format(bytes / by);
  };
  place.textContent = [...input.files].map((file) => `${file.name}, ${size(file.size)}`).join("; ");
}

// A file may be dropped where it belongs; dropped beside it, the page stays.
function drops() {
  const zoneOf = (e) => e.target.closest?.("label.drop");
  const mark = (zone) => all("label.drop").forEach((one) => one.classList.toggle("is-over", one === zone));
  const watch = (e) => find("[data-drop]") && e.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (e) => { if (watch(e)) { e.preventDefault(); mark(zoneOf(e)); if (!zoneOf(e)) e.dataTransfer.dropEffect = "none"; } });
  document.addEventListener("dragleave", (e) => { if (!e.relatedTarget) mark(null); });
  document.addEventListener("drop", (e) => {
    if (!watch(e)) return;
    e.preventDefault();
    mark(null);
    const input = zoneOf(e) && find("input[data-drop]", zoneOf(e));
    if (!input || input.disabled || !e.dataTransfer.files.length) return;
    const files = new DataTransfer();
    [...e.dataTransfer.files].slice(0, input.multiple ? Infinity : 1).forEach((file) => files.items.add(file));
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  on("change", "input[type=file][data-drop]", (e, input) => showFile(input));
}

// A file is stored as soon as it is chosen, so that one sees how far it came and how it looks; without
// script it goes with the form.
function uploads() {
  on("change", "input[type=file][data-upload]", (e, input) => { if (input.files.length && input.form) upload(input); });
  on("click", "[data-file-remove]", (e, button) => {
    e.preventDefault();
    const form = button.form;
    all(".filebox", form).forEach((box) => { delete box.dataset.kind; all('.filecard, input[name="media_id"]', box).forEach((part) => part.remove()); });
    choose(form, "none");
  });
}

// The header's kind is what the file is; the figures beside the form follow.
function choose(form, kind) {
  const radio = find(`input[name="header_type"][value="${kind}"]`, form);
  if (!radio) return;
  radio.checked = true;
  form.dataset.dirty = "true";
  radio.dispatchEvent(new Event("input", { bubbles: true }));
  radio.dispatchEvent(new Event("change", { bubbles: true }));
}

function upload(input) {
  const [box, form] = [input.closest(".filebox"), input.form];
  const [state, failed] = [find("[data-upload-state]", box), find("[data-upload-failed]", box)];
  const body = new FormData();
  body.append("csrf", form.elements.csrf.value);
  body.append("file", input.files[0]);
  all(".field-error:not([data-upload-failed])", box).forEach((sentence) => sentence.remove());
  failed.hidden = true;
  state.hidden = false;
  const request = new XMLHttpRequest();
  const broken = () => { state.hidden = true; failed.hidden = false; input.value = ""; };
  request.upload.addEventListener("progress", (e) => { if (e.lengthComputable) find("progress", state).value = Math.round(100 * e.loaded / e.total); });
  request.addEventListener("load", () => {
    const fresh = [200, 422].includes(request.status) && find(".filebox", parse(request.responseText));
    if (!fresh) { broken(); return; }
    if (request.status === 200) {
      const kind = fresh.dataset.kind;
      box.replaceWith(document.importNode(fresh, true));
      choose(form, kind);
      document.getElementById("f-file")?.focus({ preventScroll: true });
      return;
    }
    state.hidden = true;
    input.value = "";
    all(".field-error:not([data-upload-failed])", fresh).forEach((sentence) => { box.append(document.importNode(sentence, true)); announce(sentence.textContent); });
  });
  ["error", "abort", "timeout"].forEach((type) => request.addEventListener(type, broken));
  request.open("POST", input.dataset.upload);
  request.setRequestHeader("X-Requested-With", "fetch");
  request.send(body);
}

// ---------- what changes by itself ----------

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
      if (answer.headers.get("X-Settled") === "1") { document.removeEventListener("visibilitychange", wake); settle(); return; }
    } catch {
      wait = Math.max(every, 10000);
    }
    busy = false;
    next(wait);
  };
  const wake = () => { if (!document.hidden) next(0); };
  document.addEventListener("visibilitychange", wake);
  next(every);
}

// Waiting is easier when one sees until when.
function countdown(place) {
  const left = Math.max(0, Math.round((Date.parse(place.dataset.countdown) - Date.now()) / 1000));
  if (Number.isNaN(left)) return;
  const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, String(left % 60).padStart(2, "0")];
  const text = h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
  if (place.textContent !== text) place.textContent = text;
}

function countdowns() {
  setInterval(() => all("[data-countdown]").forEach(countdown), 1000);
}

// ---------- start ----------

const seen = new WeakSet();

// What a part needs of its own, whether it came with the page or later.
function enhance(root) {
  const each = (selector, prepare) => all(selector, root).forEach((el) => prepare(el));
  const once = (selector, prepare) => each(selector, (el) => { if (!seen.has(el)) { seen.add(el); prepare(el); } });
  each("[data-editor]", countLeft);
  each("[data-pick]", showChips);
  each("[data-when]", showWhen);
  each("[data-countdown]", countdown);
  each("input[type=file][data-drop]", showFile);
  once(".note-toast", toast);
  once("[data-poll]", poll);
  showSelection();
}

function start() {
  [menus, dialogs, confirms, copying, themes, submitOnChange, faults, back, keyboard, rows, selection,
    conditions, liveChecks, editors, picks, drops, uploads, countdowns, unsaved, onceOnly].forEach((behaviour) => behaviour());
  enhance(document);
  all("form[data-dirty]").forEach(showDirty);
}

start();
})();
