// Menus, dialogs and the questions before something is done.

import { all, ask, enhance, find, on, parse, plainClick } from "./dom.js";

// Menus close as people expect of menus; `name` already keeps one open at a time.
export function menus() {
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
export function dialogs() {
  on("click", 'a[href="#shortcuts"]', (e, link) => { e.preventDefault(); leaveMenu(link); showShortcuts(); });
  on("click", "dialog [data-close]", (e, button) => { e.preventDefault(); button.closest("dialog").close(); });
  on("click", "dialog", (e, dialog) => { if (e.target === dialog) dialog.close(); });
}

export function showShortcuts() {
  const dialog = document.getElementById("shortcuts");
  if (dialog?.showModal && !dialog.open) dialog.showModal();
}

// A menu that led to something is done; focus rests on it, so that it comes back there.
export function leaveMenu(link) {
  const menu = link.closest("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  find("summary", menu).focus();
}

// A question is asked where one stands; when anything fails, the link leads to its page.
export function confirms() {
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
