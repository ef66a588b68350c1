// Small things that stand on any page: copying, colours, notices, faults, the way back.

import { all, announce, fillable, find, on, onParts, page, plainClick, reveal } from "./dom.js";

// Long texts are copied whole; outside https the clipboard is reached the old way.
export function copying() {
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
export function themes() {
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
export function submitOnChange() {
  on("change", "[data-submit-on-change]", (e, field) => field.form?.requestSubmit());
  on("change", "[data-press-on-change] select", (e, field) => {
    const button = field.closest("[data-press-on-change]").querySelector(".press-target");
    field.form?.requestSubmit(button);
  });
}

// After a fault people start where it is named, and its links lead into the field.
export function faults() {
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
export function back() {
  on("click", "a[data-back]", (e) => {
    if (!plainClick(e) || history.length < 2 || !document.referrer || new URL(document.referrer).origin !== location.origin) return;
    e.preventDefault();
    history.back();
  });
}

onParts(".note-toast", toast, true);
