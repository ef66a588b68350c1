// Files: chosen, dropped and stored.

import { all, announce, find, on, onParts, page, parse } from "./dom.js";

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
export function drops() {
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
export function uploads() {
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

onParts("input[type=file][data-drop]", showFile);
