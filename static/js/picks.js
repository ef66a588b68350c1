// Picking many out of many.

import { all, ask, find, later, on, onParts, parse } from "./dom.js";

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
export function picks() {
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

onParts("[data-pick]", showChips);
