// Keys: moving in lists, going to places, saving.

import { all, find } from "./dom.js";
import { showShortcuts } from "./menus.js";
import { openRow } from "./lists.js";
import { isDirty } from "./forms.js";

// Single keys rest while someone writes, answers a dialog or has switched them off.
export function keyboard() {
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
