// Figures that follow what is written in a form.

import { announce, ask, find, later, swap } from "./dom.js";

// Figures follow what is written; the old ones stay until newer ones are there.
export function liveChecks() {
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
