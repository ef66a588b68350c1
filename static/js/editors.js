// Writing messages: marks, placeholders, and how much may still be written.

import { find, number, on, onParts } from "./dom.js";
import { leaveMenu } from "./menus.js";

const lastField = new WeakMap();
const canTakeText = (field) => field?.isConnected && !field.disabled && !field.readOnly && field.selectionStart != null && field.getClientRects().length > 0;

function put(field, text, mode = "end", start = field.selectionStart, end = field.selectionEnd) {
  field.focus();
  field.setRangeText(text, start, end, mode);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

// Marks and placeholders come from buttons, so that nobody has to know how they are written.
export function editors() {
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
export function countLeft(editor) {
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

onParts("[data-editor]", countLeft);
