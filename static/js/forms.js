// Forms: what is not saved yet, one press once, and fields that depend on a choice.

import { all, find, on, onParts, plainClick } from "./dom.js";
import { countLeft } from "./editors.js";

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
export const isDirty = (form) => Boolean(form.dataset.dirty) || new URLSearchParams(location.search).has("kept") || Boolean(find('[aria-invalid="true"], .fault-summary, .newer', form)) || [...form.elements].some(isChanged);

export function showDirty(form) {
  const dirty = isDirty(form);
  all(".savebar[data-for]").forEach((bar) => { if (bar.dataset.for === form.getAttribute("id")) bar.classList.toggle("is-dirty", dirty); });
}

// Save stands out once there is something to save, and nobody loses work by a stray click.
export function unsaved() {
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
export function onceOnly() {
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

// Only what the choices ask for is shown ("a=x|y or b=z"). Hidden fields keep their values, but may stay empty.
function showWhen(part) {
  const holds = (condition) => {
    const [, name, wanted] = condition.match(/^([^=]*)=(.*)$/s) || [];
    const fields = [...(part.closest("form")?.elements || document.getElementsByName(name))].filter((field) => field.name === name);
    const chosen = fields.filter((field) => !["radio", "checkbox"].includes(field.type) || field.checked)
      .flatMap((field) => field.selectedOptions ? [...field.selectedOptions].map((option) => option.value) : field.value);
    return wanted?.split("|").some((value) => (chosen.length ? chosen : [""]).includes(value));
  };
  part.hidden = !part.dataset.when.split(" or ").some(holds);
  all("[required], [data-required]", part).forEach((field) => {
    const needed = !field.closest("[data-when][hidden]");
    if (!needed && field.required) field.dataset.required = "";
    if (needed === field.required || needed && field.dataset.required === undefined) return;
    field.required = needed;
  });
}

export function conditions() {
  const look = () => { all("[data-when]").forEach(showWhen); all("[data-editor]").forEach(countLeft); };
  ["change", "reset"].forEach((type) => document.addEventListener(type, () => setTimeout(look)));
  window.addEventListener("pageshow", look);
}

onParts("[data-when]", showWhen);
